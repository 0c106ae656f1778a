// SPDX-License-Identifier: Apache-2.0
// Lists of float operands that are not zero, and the one inner loop that runs over them; its order
// is the order of the sums.
#ifndef KG_OPS_TAPS_F32_H
#define KG_OPS_TAPS_F32_H

#include <stdint.h>

// A listed operand: its value, and where its partner is, relative to a base.
typedef struct {
    int32_t offset;
    float value;
} kg_tap_f32_t;

typedef struct {
    const kg_tap_f32_t *first;
    const kg_tap_f32_t *end;
} kg_tap_list_f32_t;

// sum + value * partner[offset] over the list, one after the other.
static inline float kg_taps_dot_f32(kg_tap_list_f32_t list, const float *partner, float sum) {
    const kg_tap_f32_t *tap = list.first;
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

// Appends those of values[0], values[step], ... that are not zero, with offsets first,
// first + offset_step, ... Returns the new end.
static inline kg_tap_f32_t *kg_taps_append_f32(kg_tap_f32_t *end, const float *values, int32_t step,
                                               int32_t count, int32_t first, int32_t offset_step) {
    for (int32_t j = 0; j < count; j++) {
        float value = values[j * step];
        if (value != 0.0f) {
            end->offset = first;
            end->value = value;
            end++;
        }
        first += offset_step;
    }
    return end;
}

#endif
