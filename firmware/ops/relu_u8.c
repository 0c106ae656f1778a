// SPDX-License-Identifier: Apache-2.0
// ReLU in uint8.
#include "ops/relu.h"

void kg_relu_u8_forward(int32_t count, const uint8_t *x, int32_t zero, uint8_t *y) {
    uint8_t low = (uint8_t)zero;
    for (int32_t i = 0; i < count; i++) {
        y[i] = x[i] > low ? x[i] : low;
    }
}
