// SPDX-License-Identifier: Apache-2.0
// A ReLU that could not be fused into the operator before it. Its backward side is a mask of the
// next error.
#ifndef KG_OPS_RELU_H
#define KG_OPS_RELU_H

#include "kilograd/types.h"

// y = min(max(x, y_min), y_max); y_min is zero. y may be x.
void kg_relu_u8_forward(int32_t count, const uint8_t *x, int32_t y_min, int32_t y_max, uint8_t *y);
void kg_relu_f32_forward(int32_t count, const float *x, float y_min, float y_max, float *y);

// Makes a mask of a rectified y that has a clamp from above, too: y = zero where y >= y_max.
// Kernels of the backward side then mask what either clamp has stopped by one comparison.
void kg_relu_u8_mask(int32_t count, int32_t zero, int32_t y_max, uint8_t *y);
void kg_relu_f32_mask(int32_t count, float y_max, float *y);

#endif
