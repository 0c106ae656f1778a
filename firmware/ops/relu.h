// SPDX-License-Identifier: Apache-2.0
// A ReLU that could not be fused into the operator before it. Its backward side is a mask of the
// next error.
#ifndef KG_OPS_RELU_H
#define KG_OPS_RELU_H

#include "kilograd/types.h"

// y = max(x, zero); float32: max(x, 0). y may be x.
void kg_relu_u8_forward(int32_t count, const uint8_t *x, int32_t zero, uint8_t *y);
void kg_relu_f32_forward(int32_t count, const float *x, float *y);

#endif
