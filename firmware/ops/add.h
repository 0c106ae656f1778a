// SPDX-License-Identifier: Apache-2.0
// Residual add: two tensors of one shape become one.
#ifndef KG_OPS_ADD_H
#define KG_OPS_ADD_H

#include "kilograd/types.h"

// Two uint8 inputs brought to one output scale: integer weights so that
// real output / s_y = ((a - a_zero) a_weight + (b - b_zero) b_weight) / 2^shift. |weight| < 2^21, 1
// <= shift <= 30.
typedef struct {
    int32_t a_zero, b_zero, y_zero;
    int32_t y_min, y_max;
    int32_t a_weight, b_weight;
    int32_t shift;
} kg_add_quant_t;

// y = clamp(y_zero + round_half_up(((a - a_zero) a_weight + (b - b_zero) b_weight) / 2^shift),
// y_min, y_max)
void kg_add_u8_forward(int32_t count, const uint8_t *a, const uint8_t *b,
                       const kg_add_quant_t *quant, uint8_t *y);

// y = clamp(a + b, y_min, y_max)
void kg_add_f32_forward(int32_t count, const float *a, const float *b, float y_min, float y_max,
                        float *y);

#endif
