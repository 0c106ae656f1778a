// SPDX-License-Identifier: Apache-2.0
// Functions of one number in float32, each beside its derivative.
#include "ops/activation.h"

#include "ops/clamp.h"
#include "runtime/math.h"

typedef float curve_t(float x, kg_line_t line);

// y = f(x); x and y are (count)
static inline void apply(int32_t count, const float *x, kg_line_t line, curve_t *f, float *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = f(x[i], line);
    }
}

// dx = e slope(x), 0 where mask <= 0; all arrays are (count)
static inline void chain(int32_t count, const float *x, kg_line_t line, curve_t *slope,
                         const float *e, const float *mask, float *dx) {
    for (int32_t i = 0; i < count; i++) {
        if (mask != NULL && mask[i] <= 0.0f) {
            dx[i] = 0.0f;
        } else {
            dx[i] = e[i] * slope(x[i], line);
        }
    }
}

static float hard_sigmoid(float x, kg_line_t line) {
    return kg_clampf(line.slope * x + line.offset, 0.0f, 1.0f);
}

static float hard_sigmoid_slope(float x, kg_line_t line) {
    float height = line.slope * x + line.offset;
    return height > 0.0f && height < 1.0f ? line.slope : 0.0f;
}

void kg_hard_sigmoid_f32_forward(int32_t count, const float *x, kg_line_t line, float *y) {
    apply(count, x, line, hard_sigmoid, y);
}

void kg_hard_sigmoid_f32_backward(int32_t count, const float *x, kg_line_t line, const float *e,
                                  const float *mask, float *dx) {
    chain(count, x, line, hard_sigmoid_slope, e, mask, dx);
}

static float hard_swish(float x, kg_line_t line) {
    return x * hard_sigmoid(x, line);
}

static float hard_swish_slope(float x, kg_line_t line) {
    return hard_sigmoid(x, line) + x * hard_sigmoid_slope(x, line);
}

void kg_hard_swish_f32_forward(int32_t count, const float *x, kg_line_t line, float *y) {
    apply(count, x, line, hard_swish, y);
}

void kg_hard_swish_f32_backward(int32_t count, const float *x, kg_line_t line, const float *e,
                                const float *mask, float *dx) {
    chain(count, x, line, hard_swish_slope, e, mask, dx);
}

static float sigmoid(float x, kg_line_t line) {
    (void)line;
    return 1.0f / (1.0f + kg_expf(-x));
}

static float sigmoid_slope(float x, kg_line_t line) {
    float y = sigmoid(x, line);
    return y * (1.0f - y);
}

void kg_sigmoid_f32_forward(int32_t count, const float *x, kg_line_t line, float *y) {
    apply(count, x, line, sigmoid, y);
}

void kg_sigmoid_f32_backward(int32_t count, const float *x, kg_line_t line, const float *e,
                             const float *mask, float *dx) {
    chain(count, x, line, sigmoid_slope, e, mask, dx);
}

// e^x is its own derivative.
static float exponential(float x, kg_line_t line) {
    (void)line;
    return kg_expf(x);
}

void kg_exp_f32_forward(int32_t count, const float *x, kg_line_t line, float *y) {
    apply(count, x, line, exponential, y);
}

void kg_exp_f32_backward(int32_t count, const float *x, kg_line_t line, const float *e,
                         const float *mask, float *dx) {
    chain(count, x, line, exponential, e, mask, dx);
}
