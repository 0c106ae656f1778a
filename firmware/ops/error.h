// SPDX-License-Identifier: Apache-2.0
// The uint8 error format: real = scale * (q - 128).
#ifndef KG_OPS_ERROR_H
#define KG_OPS_ERROR_H

#include "ops/requant.h"

#define KG_ERROR_ZERO 128

// The error that holds a sum: clamp(128 + rq(sum, factor), 0, 255).
static inline uint8_t kg_error(int32_t sum, kg_requant_t factor) {
    return (uint8_t)kg_clamp(KG_ERROR_ZERO + kg_requant(sum, factor), 0, 255);
}

// max(largest, |sum|): what the error scales are chosen from.
static inline int32_t kg_largest(int32_t largest, int32_t sum) {
    int32_t magnitude = sum < 0 ? -sum : sum;
    return magnitude > largest ? magnitude : largest;
}

#endif
