// SPDX-License-Identifier: Apache-2.0
// Rounding of a few accumulators with any factor and any clamp.
#include "ops/rounding_dsp.h"

void kg_round_few(const kg_rounding_t *r, const int32_t *sums, int32_t count, uint8_t *y) {
    for (int32_t j = 0; j < count; j++) {
        int32_t value = r->zero + kg_requant(sums[j], r->factor);
        y[j] = (uint8_t)kg_clamp(value, r->low, r->high);
    }
}
