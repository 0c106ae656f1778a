// SPDX-License-Identifier: Apache-2.0
// A list of operands against all rows of a layer, for Cortex-M0+: what the loops of taps_v6m.c,
// pairs_v6m.c and sums_v6m.c are put together to.
#include "ops/matrix_v6m.h"

#include "ops/error.h"

#define OUTPUTS 32  // that are summed at once

void kg_block_turn_v6m(kg_block_v6m_t *block) {
    if (block->height == 1 && block->width == 1) {
        block->width = block->channels;
        block->channels = 1;
        block->step = block->channel;
        block->offset_step = block->offset_channel;
    }
}

kg_tap_t *kg_taps_append_kept_v6m(const kg_block_v6m_t *block, const kg_kept_t *kept, int32_t first,
                                  kg_tap_t *end, int32_t *total) {
    if (kept == NULL) {
        return kg_taps_append_v6m(block, end, total);
    }
    kg_block_v6m_t one = *block;
    kg_kept_range_t range = kg_kept_between(kept, first, first + block->channels);
    one.channels = 1;
    for (int32_t j = range.first; j < range.end; j++) {
        kg_kept_row_t row = kept->rows[j];
        int32_t sum = 0;
        kg_tap_t *tap = end;
        one.values = block->values + (row.row - first) * block->channel;
        one.offset = block->offset + (row.row - first) * block->offset_channel;
        end = kg_taps_append_v6m(&one, end, &sum);
        *total += sum * row.factor;
        for (; row.factor != 1 && tap < end; tap++) {
            tap->value *= row.factor;
        }
    }
    return end;
}

// Rows `first` to first + count - 1 against the list. sums has room for a multiple of four.
static void sum_pairs(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list, int32_t first,
                      int32_t count, int32_t *sums) {
    const uint16_t *pairs = matrix->pairs + first;
    count = kg_pairs_round_v6m(count);
    kg_pairs_dot_v6m((kg_tap_list_t){list->first, list->end}, pairs, sums, count, 0);
    if (list->negatives < list->limit) {
        kg_pairs_dot_v6m((kg_tap_list_t){list->negatives, list->limit}, pairs, sums, count, -1);
    }
}

static void sum_rows(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list, int32_t first,
                     int32_t count, int32_t *sums) {
    int32_t row = first * matrix->row;
    for (int32_t j = 0; j < count; j++, row += matrix->row) {
        sums[j] = row;
    }
    kg_taps_dot_v6m((kg_tap_list_t){list->first, list->end}, matrix->w, sums, count);
}

void kg_matrix_outputs_v6m(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list,
                           const int32_t *b, uint8_t *y) {
    int32_t base = -matrix->quant->w_zero * list->total;
    int32_t sums[OUTPUTS];
    for (int32_t first = 0; first < matrix->count; first += OUTPUTS) {
        int32_t count = matrix->count - first < OUTPUTS ? matrix->count - first : OUTPUTS;
        if (matrix->pairs != NULL) {
            sum_pairs(matrix, list, first, count, sums);
        } else {
            sum_rows(matrix, list, first, count, sums);
        }
        kg_outputs_v6m(sums, b + first, count, base, matrix->quant, y + first * matrix->step,
                       matrix->step);
    }
}

int32_t kg_matrix_pair_errors_v6m(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list,
                                  const uint8_t *mask, uint8_t *dx, int32_t largest) {
    int32_t base = kg_kept_half(matrix->kept) - matrix->quant->w_zero * list->total;
    int32_t zero = mask == NULL ? -1 : matrix->quant->x_zero;
    const uint8_t *seen = mask == NULL ? dx : mask;  // any byte is above -1
    int32_t sums[OUTPUTS], places[OUTPUTS];
    int32_t place = 0;
    for (int32_t first = 0; first < matrix->count; first += OUTPUTS) {
        int32_t count = 0;
        int32_t some = matrix->count - first < OUTPUTS ? matrix->count - first : OUTPUTS;
        int32_t rounded = kg_pairs_round_v6m(some);
        const uint16_t *pairs = matrix->pairs + first;
        kg_small_pairs_dot_v6m((kg_tap_list_t){list->first, list->end}, pairs, sums, rounded, 0);
        kg_small_pairs_dot_v6m((kg_tap_list_t){list->negatives, list->limit}, pairs, sums, rounded,
                               -1);
        for (int32_t j = 0; j < some; j++, place += matrix->step) {
            if (seen[place] <= zero) {
                dx[place] = KG_ERROR_ZERO;
            } else {
                sums[count] = sums[j];
                places[count++] = place;
            }
        }
        largest = kg_errors_v6m(sums, places, count, base, kg_kept_fraction(matrix->kept),
                                matrix->quant->backward, dx, largest);
    }
    return largest;
}

int32_t kg_matrix_errors_v6m(const kg_matrix_v6m_t *matrix, const kg_split_v6m_t *list,
                             const uint8_t *mask, uint8_t *dx, int32_t largest) {
    const kg_conv_quant_t *quant = matrix->quant;
    int32_t base = kg_kept_half(matrix->kept) - quant->w_zero * list->total;
    int32_t fraction = kg_kept_fraction(matrix->kept);
    int32_t end = matrix->count * matrix->step;
    int32_t rows[KG_ROWS_V6M], places[KG_ROWS_V6M];
    int32_t row = 0, place = 0;
    while (place < end) {
        int32_t count = 0;
        for (; place < end && count < KG_ROWS_V6M; place += matrix->step, row += matrix->row) {
            if (mask != NULL && mask[place] <= quant->x_zero) {
                dx[place] = KG_ERROR_ZERO;
            } else {
                rows[count] = row;
                places[count++] = place;
            }
        }
        kg_taps_dot_v6m((kg_tap_list_t){list->first, list->end}, matrix->w, rows, count);
        largest = kg_errors_v6m(rows, places, count, base, fraction, quant->backward, dx, largest);
    }
    return largest;
}

void kg_maps_sums_v6m(kg_tap_list_t list, const uint8_t *x, int32_t plane, int32_t count,
                      int32_t base, int32_t *row, int32_t step) {
    int32_t rows[KG_ROWS_V6M];
    int32_t from = 0;
    if (list.first >= list.end) {
        return;
    }
    for (; count > 0; count -= KG_ROWS_V6M) {
        int32_t some = count < KG_ROWS_V6M ? count : KG_ROWS_V6M;
        for (int32_t j = 0; j < some; j++, from += plane) {
            rows[j] = from;
        }
        kg_taps_dot_v6m(list, x, rows, some);
        for (int32_t j = 0; j < some; j++, row += step) {
            *row += rows[j] + base;
        }
    }
}
