// SPDX-License-Identifier: Apache-2.0
// One list of operands against all rows of a layer, for Cortex-M0+: as bytes, or as pairs.
#ifndef KG_OPS_MATRIX_V6M_H
#define KG_OPS_MATRIX_V6M_H

#include "ops/pairs_v6m.h"

// Rows are `row` bytes apart; the results are `step` bytes apart. pairs, if there are any, have the
// same rows, and are for lists with offsets into them.
typedef struct {
    const kg_conv_quant_t *quant;
    const uint8_t *w;
    int32_t row, count, step;
    const uint16_t *pairs;
    const kg_kept_t *kept;  // of errors
} kg_matrix_v6m_t;

// The outputs y with biases b.
void kg_matrix_outputs_v6m(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list,
                           const int32_t *b, uint8_t *y);

// The errors dx, where mask (if there is one) is above x_zero. Returns the largest |sum|, at least
// `largest`.
int32_t kg_matrix_errors_v6m(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list,
                             const uint8_t *mask, uint8_t *dx, int32_t largest);

// The same by pairs, for errors without factors; masked rows are summed in vain.
int32_t kg_matrix_pair_errors_v6m(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list,
                                  const uint8_t *mask, uint8_t *dx, int32_t largest);

// row[j * step] += base + the sum over the list, for `count` maps from x on, `plane` bytes apart.
void kg_maps_sums_v6m(kg_tap_list_t list, const uint8_t *x, int32_t plane, int32_t count,
                      int32_t base, int32_t *row, int32_t step);

#endif
