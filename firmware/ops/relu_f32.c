// SPDX-License-Identifier: Apache-2.0
// ReLU in float32.
#include "ops/relu.h"

// y = min(max(x, y_min), y_max), never a negative zero; both arrays are (count)
void kg_relu_f32_forward(int32_t count, const float *x, float y_min, float y_max, float *y) {
    for (int32_t i = 0; i < count; i++) {
        float above = x[i] > y_min ? x[i] : y_min;
        y[i] = above < y_max ? above : y_max;
    }
}

// y = 0 where y >= y_max
void kg_relu_f32_mask(int32_t count, float y_max, float *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = y[i] >= y_max ? 0.0f : y[i];
    }
}
