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

// `count` sums.
void kg_round_few(const kg_rounding_t *r, const int32_t *sums, int32_t count, uint8_t *y);

// Four sums, where r->fast.
static inline void kg_round_fast(const kg_rounding_t *r, int32_t sum0, int32_t sum1, int32_t sum2,
                                 int32_t sum3, uint8_t *y) {
    int32_t bytes[4] = {sum0, sum1, sum2, sum3};
    kg_scale_four(bytes, r->multiplier, r->offset, r->shift);
    y[0] = (uint8_t)bytes[0];
    y[1] = (uint8_t)bytes[1];
    y[2] = (uint8_t)bytes[2];
    y[3] = (uint8_t)bytes[3];
}

// The first `count` of four. They stay in registers unless they need the general way.
static inline void kg_round_four(const kg_rounding_t *r, int32_t sum0, int32_t sum1, int32_t sum2,
                                 int32_t sum3, int32_t count, uint8_t *y) {
    if (r->fast && count == 4) {
        kg_round_fast(r, sum0, sum1, sum2, sum3, y);
    } else {
        int32_t sums[4] = {sum0, sum1, sum2, sum3};
        kg_round_few(r, sums, count, y);
    }
}

#endif
