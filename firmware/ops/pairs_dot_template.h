// SPDX-License-Identifier: Apache-2.0
// Sums of pairs over all parts of a position. A file that includes it defines add_list, the loop
// for its core.
#ifndef KG_OPS_PAIRS_DOT_TEMPLATE_H
#define KG_OPS_PAIRS_DOT_TEMPLATE_H

#include "ops/pairs_dsp.h"

// No array: these stay in registers.
typedef struct {
    int64_t pair0, pair1, pair2, pair3;
} quad_t;

// Adds value * each of the four pairs at base + offset, for all taps of a list that is not empty.
static inline void add_list(quad_t *sums, kg_tap_list_t list, const void *base);

static inline void store(int64_t pair, int32_t first, int32_t second, int32_t *sums) {
    sums[0] = kg_pair_first(pair) + first;
    sums[1] = kg_pair_second(pair) + second;
}

void kg_pairs_dot(const kg_part_t *part, kg_dot_t *dot) {
    const kg_part_t *end = dot->end;
    int32_t skip = dot->skip;
    int32_t first = dot->first;
    int32_t second = dot->second;
    quad_t quad = {0, 0, 0, 0};
    for (; part < end; part++) {
        add_list(&quad, part->list, (const char *)part->base + skip);
    }
    store(quad.pair0, first, second, dot->sums);
    store(quad.pair1, first, second, dot->sums + 2);
    store(quad.pair2, first, second, dot->sums + 4);
    store(quad.pair3, first, second, dot->sums + 6);
}

#endif
