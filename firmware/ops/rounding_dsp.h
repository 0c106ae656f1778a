// SPDX-License-Identifier: Apache-2.0
// Rounding of accumulators to bytes in four instructions, for the factors and clamps that most
// layers have.
#ifndef KG_OPS_ROUNDING_DSP_H
#define KG_OPS_ROUNDING_DSP_H

#include <stdbool.h>

#include "ops/clamp.h"
#include "ops/dsp.h"
#include "ops/requant.h"

// clamp(zero + rq(sum, factor), low, high). Where `fast`, that is (offset + upper word of sum *
// multiplier) >> shift, saturated to a byte: both roundings down and the zero point in one sum.
typedef struct {
    int32_t multiplier, offset, shift;
    bool fast;
    int32_t zero, low, high;
    kg_requant_t factor;
} kg_rounding_t;

// The upper word stays below 2^30 in magnitude and so does the offset up to a shift of 54.
static inline kg_rounding_t kg_rounding(kg_requant_t factor, int32_t zero, int32_t low,
                                        int32_t high) {
    kg_rounding_t r = {.zero = zero, .low = low, .high = high, .factor = factor};
    r.fast = factor.shift > 32 && factor.shift <= 54 && low == 0 && high == 255;
    if (r.fast) {
        r.multiplier = factor.multiplier;
        r.shift = factor.shift - 32;
        r.offset = (2 * zero + 1) << (r.shift - 1);
    }
    return r;
}

static inline uint8_t kg_rounded_fast(const kg_rounding_t *r, int32_t sum) {
    return (uint8_t)kg_clamp(kg_smmla(sum, r->multiplier, r->offset) >> r->shift, 0, 255);
}

static inline uint8_t kg_rounded(const kg_rounding_t *r, int32_t sum) {
    return (uint8_t)kg_clamp(r->zero + kg_requant(sum, r->factor), r->low, r->high);
}

// The same for `count` sums, at most four.
static inline void kg_round_sums(const kg_rounding_t *r, const int32_t *sums, int32_t count,
                                 uint8_t *y) {
    if (r->fast && count == 4) {
        y[0] = kg_rounded_fast(r, sums[0]);
        y[1] = kg_rounded_fast(r, sums[1]);
        y[2] = kg_rounded_fast(r, sums[2]);
        y[3] = kg_rounded_fast(r, sums[3]);
        return;
    }
    for (int32_t j = 0; j < count; j++) {
        y[j] = kg_rounded(r, sums[j]);
    }
}

#endif
