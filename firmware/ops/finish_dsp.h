// SPDX-License-Identifier: Apache-2.0
// Sums to errors, for input gradients on Cortex-M4 and M7 that have many sums in a row.
#ifndef KG_OPS_FINISH_DSP_H
#define KG_OPS_FINISH_DSP_H

#include "ops/rounding_dsp.h"

// What all sums of a layer share.
typedef struct {
    kg_rounding_t rounding;
    int32_t fraction;   // bits of the kept rows' factors
    int32_t mask_zero;  // only errors whose mask is above it count
} kg_finish_t;

// dx[i] = clamp(128 + rq(sums[i] >> fraction), 0, 255), 128 where mask[i] <= mask_zero; mask: NULL
// where there is none, or dx itself. Returns the largest |sums[i] >> fraction|, `largest` if that
// is larger.
int32_t kg_finish_errors(const kg_finish_t *how, const int32_t *sums, const uint8_t *mask,
                         int32_t count, uint8_t *dx, int32_t largest);

// The bytes of four masks: not 0 where the mask is above its zero point.
static inline uint32_t kg_open_bytes(const uint8_t *mask, uint32_t zeros) {
    return mask == NULL ? 0xffffffffu : kg_uqsub8(kg_load_word(mask), zeros);
}

#endif
