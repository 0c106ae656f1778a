// SPDX-License-Identifier: Apache-2.0
// Lists of operands that differ from their zero point, and the one inner loop that runs over them.
#ifndef KG_OPS_TAPS_U8_H
#define KG_OPS_TAPS_U8_H

#include <stdint.h>

// A listed operand: its value, and where its partner is, relative to a base.
typedef struct {
    int32_t offset;
    int32_t value;
} kg_tap_t;

typedef struct {
    const kg_tap_t *first;
    const kg_tap_t *end;
} kg_tap_list_t;

// Appends the values that are not zero, with offsets first, first + step, ... Returns the new end.
static inline kg_tap_t *kg_taps_append_u8(kg_tap_t *end, const uint8_t *values, int32_t count,
                                          int32_t zero, int32_t first, int32_t step) {
    for (int32_t j = 0; j < count; j++) {
        int32_t value = values[j] - zero;
        if (value != 0) {
            end->offset = first;
            end->value = value;
            end++;
        }
        first += step;
    }
    return end;
}

static inline int32_t kg_taps_total(kg_tap_list_t list) {
    int32_t sum = 0;
    for (const kg_tap_t *tap = list.first; tap < list.end; tap++) {
        sum += tap->value;
    }
    return sum;
}

// sum over the list of value * partner[offset], four taps at a time.
static inline int32_t kg_taps_dot_u8(kg_tap_list_t list, const uint8_t *partner) {
    const kg_tap_t *tap = list.first;
    int32_t sum = 0;
    if (((list.end - tap) & 1) != 0) {
        sum += tap[0].value * partner[tap[0].offset];
        tap += 1;
    }
    if (((list.end - tap) & 2) != 0) {
        sum += tap[0].value * partner[tap[0].offset];
        sum += tap[1].value * partner[tap[1].offset];
        tap += 2;
    }
    for (; tap < list.end; tap += 4) {
        sum += tap[0].value * partner[tap[0].offset];
        sum += tap[1].value * partner[tap[1].offset];
        sum += tap[2].value * partner[tap[2].offset];
        sum += tap[3].value * partner[tap[3].offset];
    }
    return sum;
}

#endif
