// SPDX-License-Identifier: Apache-2.0
// ReLU in float32.
#include "ops/relu.h"

void kg_relu_f32_forward(int32_t count, const float *x, float *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    }
}
