// SPDX-License-Identifier: Apache-2.0
// Operators that treat every element alone: residual add, ReLU, joining errors, changing number formats.
#ifndef KG_OPS_ELEMENTWISE_H
#define KG_OPS_ELEMENTWISE_H

#include "kilograd/types.h"

// Two uint8 inputs brought to one output scale: integer weights so that
// real output / s_y = ((a - a_zero) a_weight + (b - b_zero) b_weight) / 2^shift. |weight| < 2^21, 1 <= shift <= 30.
typedef struct {
    int32_t a_zero, b_zero, y_zero;
    int32_t y_min, y_max;
    int32_t a_weight, b_weight;
    int32_t shift;
} kg_add_quant_t;

// y = clamp(y_zero + round_half_up(((a - a_zero) a_weight + (b - b_zero) b_weight) / 2^shift), y_min, y_max)
void kg_add_u8_forward(int32_t count, const uint8_t *a, const uint8_t *b, const kg_add_quant_t *quant, uint8_t *y);
void kg_add_f32_forward(int32_t count, const float *a, const float *b, float y_min, float y_max, float *y);

// Brings one error, or the sum of two, to the scale of dx: the same formula with all zeros 128 and the clamp 0..255.
// b may be NULL. dx = 128 where mask <= mask_zero (mask may be NULL). Returns the largest |value| before the clamp,
// in units of dx, over the elements not masked. dx may be a, b or mask.
int32_t kg_join_u8(int32_t count, const uint8_t *a, const uint8_t *b, const kg_add_quant_t *quant, const uint8_t *mask,
                   int32_t mask_zero, uint8_t *dx);
void kg_join_f32(int32_t count, const float *a, const float *b, const float *mask, float *dx);

// A ReLU that could not be fused: y = max(x, zero); float32: max(x, 0).
void kg_relu_u8_forward(int32_t count, const uint8_t *x, int32_t zero, uint8_t *y);
void kg_relu_f32_forward(int32_t count, const float *x, float *y);

// y = clamp(zero + round_half_away(x / scale), 0, 255), and y = (x - zero) * scale.
void kg_quantise(int32_t count, const float *x, float scale, int32_t zero, uint8_t *y);
void kg_dequantise(int32_t count, const uint8_t *x, float scale, int32_t zero, float *y);

#endif
