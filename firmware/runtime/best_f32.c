// SPDX-License-Identifier: Apache-2.0
// Recipe "best" for float32 layers: the same standardised step with momentum in the gradient
// buffer.
#include "runtime/gradient.h"
#include "runtime/math.h"
#include "runtime/update.h"

#define MOMENTUM 0.875f
#define SAME 0x1p-12f  // of the mean: gradients that differ by less are equal but for rounding

void kg_best_f32_add_row(const kg_parameter_f32_t *p, int32_t row, const float *sums) {
    float *g = p->g + (size_t)row * (size_t)p->matrix.columns;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        g[k] += sums[k];
    }
}

void kg_best_f32_add_outer(const kg_parameter_f32_t *p, int32_t row, const float *x, float e) {
    float *g = p->g + (size_t)row * (size_t)p->matrix.columns;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        g[k] += e * x[k];
    }
}

static float mean_of(const float *g, int32_t count) {
    float sum = 0.0f;
    for (int32_t k = 0; k < count; k++) {
        sum += g[k];
    }
    return sum / (float)count;
}

static float deviation_of(const float *g, int32_t count, float mean) {
    float squares = 0.0f;
    for (int32_t k = 0; k < count; k++) {
        squares += (g[k] - mean) * (g[k] - mean);
    }
    return kg_sqrtf(squares / (float)count);
}

static void update_row(const kg_parameter_f32_t *p, int32_t row, float rate) {
    float *g = p->g + (size_t)row * (size_t)p->matrix.columns;
    float *w = p->w + (size_t)row * (size_t)p->matrix.columns;
    float mean = mean_of(g, p->matrix.columns);
    float deviation = deviation_of(g, p->matrix.columns, mean);
    float per_unit = deviation > SAME * kg_maxf(mean, -mean) ? rate / deviation : 0.0f;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        w[k] -= (g[k] - mean) * per_unit;
        g[k] *= MOMENTUM;
    }
    float most = KG_LARGEST_BIAS_STEP * rate;
    p->b[row] -= kg_maxf(-most, kg_minf(p->gb[row] * per_unit, most));
    p->gb[row] *= MOMENTUM;
}

void kg_step_best_f32_update(const void *args, kg_training_t *training) {
    const kg_parameter_f32_t *p = args;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        if (kg_row_is_due(p->marks, row)) {
            update_row(p, row, training->rate);
        }
    }
    kg_clear_marks(p->marks, p->matrix.rows);
}
