// SPDX-License-Identifier: Apache-2.0
// Changes of number format between float32 and uint8: real = scale * (q - zero).
#ifndef KG_OPS_QUANTISE_H
#define KG_OPS_QUANTISE_H

#include "kilograd/types.h"

// y = clamp(zero + round_half_away(x / scale), 0, 255); not a number gives 0.
void kg_quantise(int32_t count, const float *x, float scale, int32_t zero, uint8_t *y);

// y = (x - zero) * scale
void kg_dequantise(int32_t count, const uint8_t *x, float scale, int32_t zero, float *y);

#endif
