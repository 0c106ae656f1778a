// SPDX-License-Identifier: Apache-2.0
// Rounding of 32-bit accumulators to 8 bits. Rounds half up; truncating here destroys training.
#ifndef KG_OPS_REQUANT_H
#define KG_OPS_REQUANT_H

#include "kilograd/types.h"

static inline int32_t kg_clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

// (value * multiplier + 2^(shift-1)) >> shift, exact in 64 bits, saturated to 32: the factor of an error may be large
// when its scale has followed vanishing errors and a hard sample arrives.
static inline int32_t kg_requant(int32_t value, kg_requant_t factor) {
    int64_t product = (int64_t)value * factor.multiplier + ((int64_t)1 << (factor.shift - 1));
    int64_t result = product >> factor.shift;
    return result > INT32_MAX ? INT32_MAX : result < INT32_MIN ? INT32_MIN : (int32_t)result;
}

#endif
