// SPDX-License-Identifier: Apache-2.0
// Rounding of 32-bit accumulators to 8 bits. Rounds half up; truncating here destroys training.
#ifndef KG_OPS_REQUANT_H
#define KG_OPS_REQUANT_H

#include "kilograd/types.h"
#include "ops/clamp.h"

// (value * multiplier + 2^(shift-1)) >> shift, exact in 64 bits. The result must fit 32 bits: with
// a factor of at most 1 it always does. A factor below 1/4 needs the upper half of the product
// only.
static inline int32_t kg_requant(int32_t value, kg_requant_t factor) {
    int64_t product = (int64_t)value * factor.multiplier;
    if (factor.shift > 32) {
        int32_t upper = (int32_t)(product >> 32);
        return ((upper >> (factor.shift - 33)) + 1) >> 1;
    }
    return (int32_t)(((product >> (factor.shift - 1)) + 1) >> 1);
}

#endif
