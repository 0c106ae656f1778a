// SPDX-License-Identifier: Apache-2.0
// Rounding of 32-bit accumulators to 8 bits. Rounds half up; truncating here destroys training.
#ifndef KG_OPS_REQUANT_H
#define KG_OPS_REQUANT_H

#include "kilograd/types.h"
#include "ops/clamp.h"

// (value * multiplier + 2^(shift-1)) >> shift, exact in 64 bits, written so that no 64-bit constant
// is shifted. The result must fit 32 bits: with a factor of at most 1 it always does.
static inline int32_t kg_requant(int32_t value, kg_requant_t factor) {
    int64_t halves = (int64_t)value * factor.multiplier >> (factor.shift - 1);
    return (int32_t)((halves + 1) >> 1);
}

#endif
