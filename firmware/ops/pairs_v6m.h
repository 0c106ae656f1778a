// SPDX-License-Identifier: Apache-2.0
// Two products by one multiplication for Cortex-M0+: lists against matrices whose bytes have been
// widened to halves of words.
//
// A matrix of pairs has a column of `count` halves for each offset, count a multiple of four, its
// columns next to each other: offsets of taps are in bytes.
#ifndef KG_OPS_PAIRS_V6M_H
#define KG_OPS_PAIRS_V6M_H

#include <stdbool.h>

#include "ops/taps_v6m.h"

#define KG_PAIRS_MOST_V6M 8192  // 16 KB of scratch

// A list of positive values from `first` up, and of the sizes of negative ones down to `negatives`:
// the two meet in the middle of their memory.
typedef struct {
    kg_tap_t *end, *negatives;
    int32_t total;
    kg_tap_t *first, *limit;
} kg_split_v6m_t;

static inline kg_split_v6m_t kg_split_start_v6m(kg_tap_t *taps, int32_t capacity) {
    return (kg_split_v6m_t){taps, taps + capacity, 0, taps, taps + capacity};
}

// Appends a block, and its sum to the total.
void kg_taps_split_v6m(const kg_block_v6m_t *block, kg_split_v6m_t *list);

// sums[j] = sum over the list of value * half j of column `offset`, for j < count; with add = 1 or
// -1, this is added to sums[j] or taken off. Values are positive, at most 255; small ones 128.
void kg_pairs_dot_v6m(kg_tap_list_t list, const void *pairs, int32_t *sums, int32_t count,
                      int32_t add);
void kg_small_pairs_dot_v6m(kg_tap_list_t list, const void *pairs, int32_t *sums, int32_t count,
                            int32_t add);

// halves[k * n + j] = bytes[j * row + k] for j < count, and 0 for the rest of n, a multiple of
// four.
void kg_pairs_pack_v6m(const uint8_t *bytes, int32_t count, int32_t row, int32_t columns,
                       uint16_t *halves);

static inline int32_t kg_pairs_round_v6m(int32_t count) {
    return (count + 3) & ~3;
}

// Whether pairs are worth their memory: `count` of them in a column, rounded up to multiples of 4.
static inline bool kg_pairs_pay_v6m(int32_t count, int32_t columns) {
    int32_t rounded = kg_pairs_round_v6m(count);
    return rounded * 4 <= count * 5 && rounded * columns <= KG_PAIRS_MOST_V6M;
}

#endif
