// SPDX-License-Identifier: Apache-2.0
// Input gradients of four inputs from both lists of errors. A file that includes it defines
// add_list, the loop for its core.
#ifndef KG_OPS_LINEAR_ERRORS_TEMPLATE_H
#define KG_OPS_LINEAR_ERRORS_TEMPLATE_H

#include "ops/linear_errors_dsp.h"
#include "ops/pairs_dsp.h"

// Sums of bytes 0 and 3, and of bytes 2 and 1, of the words that a list meets.
typedef struct {
    uint64_t outer, inner;
} sums_t;

// Returns the sums with those of a list added.
static inline sums_t add_list(sums_t sums, kg_tap_list_t list, const uint8_t *w);

void kg_linear_errors_dot(const kg_linear_errors_t *errors, const uint8_t *w, int32_t base,
                          int32_t *sums) {
    sums_t found = add_list((sums_t){0, 0}, errors->below, w);
    found = add_list((sums_t){-found.outer, -found.inner}, errors->above, w);
    sums[0] = kg_pair_first((int64_t)found.outer) + base;
    sums[3] = kg_pair_second((int64_t)found.outer) + base;
    sums[2] = kg_pair_first((int64_t)found.inner) + base;
    sums[1] = kg_pair_second((int64_t)found.inner) + base;
}

#endif
