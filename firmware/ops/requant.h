// SPDX-License-Identifier: Apache-2.0
// Rounding of 32-bit accumulators to 8 bits. Rounds half up; truncating here destroys training.
#ifndef KG_OPS_REQUANT_H
#define KG_OPS_REQUANT_H

#include "kilograd/types.h"
#include "ops/clamp.h"

// (value * multiplier + 2^(shift-1)) >> shift, exact in 64 bits. The result must fit 32 bits: a factor <= 1 always does.
static inline int32_t kg_requant(int32_t value, kg_requant_t factor) {
    int64_t product = (int64_t)value * factor.multiplier + ((int64_t)1 << (factor.shift - 1));
    return (int32_t)(product >> factor.shift);
}

#endif
