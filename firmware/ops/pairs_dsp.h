// SPDX-License-Identifier: Apache-2.0
// Two products by one multiplication: what the gradient kernels for Cortex-M4 and M7 are made of.
//
// A pair holds two bytes, a + (b - 128) 2^24. SMLAL adds value * pair to 64 bits, and with it to
// two sums: that of value * a in bits 0 to 23, and that of value * (b - 128) above. The lower one
// stays inside its bits while the |value| of a list add up to at most KG_PAIR_LIMIT. Only values
// that are not zero are listed, so few errors cost little, and all of them no more than two
// products of 16 bits (SMLAD) would: either way one instruction for two.
#ifndef KG_OPS_PAIRS_DSP_H
#define KG_OPS_PAIRS_DSP_H

#include "kilograd/types.h"
#include "ops/taps_u8.h"

#define KG_PAIR_LIMIT 32896  // times 255: below 2^23
#define KG_PAIR_OFFSET 128   // of the second byte
#define KG_QUAD 4            // pairs that are summed together: as many as there are registers for

static inline uint32_t kg_pair(uint32_t a, uint32_t b) {
    return (a | b << 24) ^ 0x80000000u;
}

// The sum of value * a.
static inline int32_t kg_pair_first(int64_t sum) {
    return (int32_t)((uint32_t)sum << 8) >> 8;
}

// The sum of value * (b - 128): what is above, and what the lower sum has borrowed.
static inline int32_t kg_pair_second(int64_t sum) {
    return (int32_t)((uint32_t)(sum >> 24) + ((uint32_t)sum >> 23 & 1u));
}

// A list, and the pairs that its offsets start from.
typedef struct {
    kg_tap_list_t list;
    const uint32_t *base;
} kg_part_t;

// Eight sums over some parts, each with a list that is not empty.
typedef struct {
    const kg_part_t *end;   // of the parts
    int32_t first, second;  // added to the sums of every pair
    int32_t skip;           // bytes from a part's base on
    int32_t sums[2 * KG_QUAD];
} kg_dot_t;

// Sums four pairs at base + offset + skip.
void kg_pairs_dot(const kg_part_t *part, kg_dot_t *dot);

// Errors and their sum.
typedef struct {
    kg_tap_t *end;
    int32_t total;
} kg_errors_t;

// Appends the errors that are not zero, with offsets first, first + step, ... There must be room
// for one more than count.
void kg_errors_append(kg_errors_t *errors, const uint8_t *e, int32_t count, int32_t first,
                      int32_t step);

#endif
