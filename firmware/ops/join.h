// SPDX-License-Identifier: Apache-2.0
// The backward side of a tensor with two readers: joins their errors.
#ifndef KG_OPS_JOIN_H
#define KG_OPS_JOIN_H

#include "ops/add.h"

// Brings one error, or the sum of two, to the scale of dx: the formula of add.h with all zeros 128
// and the clamp 0..255, whatever quant says of them. b may be NULL. dx = 128 where mask <=
// mask_zero (mask may be NULL). Returns the largest |sum| before rounding, in units of dx /
// 2^shift, over the elements not masked: errors too small for the scale of dx still move it. dx may
// be a, b or mask.
int32_t kg_join_u8(int32_t count, const uint8_t *a, const uint8_t *b, const kg_add_quant_t *quant,
                   const uint8_t *mask, int32_t mask_zero, uint8_t *dx);

// dx = a + b, 0 where mask <= 0. b and mask may be NULL; dx may be a, b or mask.
void kg_join_f32(int32_t count, const float *a, const float *b, const float *mask, float *dx);

#endif
