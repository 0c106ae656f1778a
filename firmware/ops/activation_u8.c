// SPDX-License-Identifier: Apache-2.0
// Functions of one number in uint8: tables.
#include "ops/activation.h"

#include "ops/error.h"

// y = values[x]; x and y are (count)
void kg_activation_u8_forward(int32_t count, const uint8_t *x, const uint8_t *values, uint8_t *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = values[x[i]];
    }
}

// dx = clamp(128 + rq((e - 128) slopes[x]), 0, 255); x, e and dx are (count)
int32_t kg_activation_u8_backward(int32_t count, const uint8_t *x, const uint8_t *e,
                                  const int16_t *slopes, kg_requant_t backward, uint8_t *dx) {
    int32_t largest = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t product = (e[i] - KG_ERROR_ZERO) * slopes[x[i]];
        largest = kg_largest(largest, product);
        dx[i] = kg_error(product, backward);
    }
    return largest;
}
