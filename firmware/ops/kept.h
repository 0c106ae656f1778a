// SPDX-License-Identifier: Apache-2.0
// Which structures (output channels, rows of weights) of one layer the backward pass of one sample
// keeps.
//
// Everywhere a list is wanted, NULL stands for all rows with the factor 1: a dense layer.
#ifndef KG_OPS_KEPT_H
#define KG_OPS_KEPT_H

#include "kilograd/types.h"

#define KG_KEPT_FRACTION 3          // bits of a factor, where factors differ from 1
#define KG_KEPT_LARGEST_FACTOR 256  // times an error: stays inside 16 bits

// A kept row. Its errors count factor / 2^fraction times; 2^fraction <= factor <= 256.
typedef struct {
    int16_t row;
    int16_t factor;
} kg_kept_row_t;

typedef struct {
    int32_t count;
    int32_t fraction;      // 0 (and all factors 1) or KG_KEPT_FRACTION
    kg_kept_row_t rows[];  // ascending
} kg_kept_t;

static inline int32_t kg_kept_count(const kg_kept_t *kept, int32_t rows) {
    return kept == NULL ? rows : kept->count;
}

static inline kg_kept_row_t kg_kept_at(const kg_kept_t *kept, int32_t i) {
    return kept == NULL ? (kg_kept_row_t){(int16_t)i, 1} : kept->rows[i];
}

static inline int32_t kg_kept_fraction(const kg_kept_t *kept) {
    return kept == NULL ? 0 : kept->fraction;
}

// What float errors of a row are multiplied by; exact.
static inline float kg_kept_scale(const kg_kept_t *kept, kg_kept_row_t row) {
    float unit = kg_kept_fraction(kept) == 0 ? 1.0f : 1.0f / (float)(1 << KG_KEPT_FRACTION);
    return (float)row.factor * unit;
}

// Added to a sum before it is shifted right by the fraction: rounds half up.
static inline int32_t kg_kept_half(const kg_kept_t *kept) {
    return (1 << kg_kept_fraction(kept)) >> 1;
}

// Which entries of a list, for kg_kept_at: all j with first <= j < end.
typedef struct {
    int32_t first, end;
} kg_kept_range_t;

// The entries of the rows first_row to end_row - 1: a group of a convolution.
static inline kg_kept_range_t kg_kept_between(const kg_kept_t *kept, int32_t first_row,
                                              int32_t end_row) {
    kg_kept_range_t range = {0, 0};
    if (kept == NULL) {
        return (kg_kept_range_t){first_row, end_row};
    }
    while (range.first < kept->count && kept->rows[range.first].row < first_row) {
        range.first++;
    }
    range.end = range.first;
    while (range.end < kept->count && kept->rows[range.end].row < end_row) {
        range.end++;
    }
    return range;
}

#endif
