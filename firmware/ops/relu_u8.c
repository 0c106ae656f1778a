// SPDX-License-Identifier: Apache-2.0
// ReLU in uint8.
#include "ops/relu.h"

#include "ops/clamp.h"

// y = min(max(x, y_min), y_max); both arrays are (count)
void kg_relu_u8_forward(int32_t count, const uint8_t *x, int32_t y_min, int32_t y_max, uint8_t *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = (uint8_t)kg_clamp(x[i], y_min, y_max);
    }
}

// y = zero where y >= y_max
void kg_relu_u8_mask(int32_t count, int32_t zero, int32_t y_max, uint8_t *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = (uint8_t)(y[i] >= y_max ? zero : y[i]);
    }
}
