// SPDX-License-Identifier: Apache-2.0
// Rounding of a few accumulators, with any factor and any clamp.
#include "ops/rounding_dsp.h"

void kg_round_few(const kg_rounding_t *r, const int32_t *sums, int32_t count, uint8_t *y) {
    const int32_t *end = sums + count;
    for (; r->fast && sums < end; sums++) {
        int32_t value = kg_smmla(*sums, r->multiplier, r->offset) >> r->shift;
        *y++ = (uint8_t)kg_clamp(value, 0, 255);
    }
    for (; sums < end; sums++) {
        int32_t value = r->zero + kg_requant(*sums, r->factor);
        *y++ = (uint8_t)kg_clamp(value, r->low, r->high);
    }
}
