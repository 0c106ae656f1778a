// SPDX-License-Identifier: Apache-2.0
// Functions of one number: hard-swish, hard-sigmoid, sigmoid, exponential.
//
// In uint8 a function is a table of its 256 values, and its derivative another one: whatever the
// function, one kernel serves it, and the host that makes the tables decides its bits.
#ifndef KG_OPS_ACTIVATION_H
#define KG_OPS_ACTIVATION_H

#include "kilograd/types.h"

// y = values[x]. y may be x.
void kg_activation_u8_forward(int32_t count, const uint8_t *x, const uint8_t *values, uint8_t *y);

// dx = clamp(128 + rq((e - 128) slopes[x], backward), 0, 255). slopes: 256 derivatives in a unit
// that is part of backward, 0 where the producer's ReLU has clamped. dx may be x or e. Returns the
// largest |(e - 128) slopes[x]|.
int32_t kg_activation_u8_backward(int32_t count, const uint8_t *x, const uint8_t *e,
                                  const int16_t *slopes, kg_requant_t backward, uint8_t *dx);

// The straight part of the hard functions, slope x + offset between 0 and 1; sigmoid and
// exponential do not read it.
typedef struct {
    float slope, offset;
} kg_line_t;

// y = f(x); y may be x.
typedef void kg_activation_f32_fn(int32_t count, const float *x, kg_line_t line, float *y);
kg_activation_f32_fn kg_hard_swish_f32_forward;
kg_activation_f32_fn kg_hard_sigmoid_f32_forward;
kg_activation_f32_fn kg_sigmoid_f32_forward;
kg_activation_f32_fn kg_exp_f32_forward;

// dx = e f'(x), 0 where mask <= 0. mask may be NULL; dx may be x, e or mask.
typedef void kg_activation_backward_f32_fn(int32_t count, const float *x, kg_line_t line,
                                           const float *e, const float *mask, float *dx);
kg_activation_backward_f32_fn kg_hard_swish_f32_backward;
kg_activation_backward_f32_fn kg_hard_sigmoid_f32_backward;
kg_activation_backward_f32_fn kg_sigmoid_f32_backward;
kg_activation_backward_f32_fn kg_exp_f32_backward;

#endif
