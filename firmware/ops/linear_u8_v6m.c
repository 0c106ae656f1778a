// SPDX-License-Identifier: Apache-2.0
// Fully connected layer in uint8 for Cortex-M0+: lists of inputs or errors, each against two rows
// at a time (taps_v6m.h).
#include <string.h>

#include "ops/error.h"
#include "ops/linear.h"
#include "ops/matrix_v6m.h"

#define LIST 128  // inputs that are listed at once

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t list_capacity(const kg_conv_dims_t *dims) {
    return smaller(dims->in_channels, LIST);
}

size_t kg_linear_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)list_capacity(dims) * sizeof(kg_tap_t) +
           (size_t)dims->out_channels * sizeof(int32_t);
}

// sums[o] += sum over the list of value * w[o, offset]
static void add_list(const kg_conv_dims_t *dims, kg_tap_list_t list, const uint8_t *w,
                     int32_t *sums) {
    int32_t rows[KG_ROWS_V6M];
    int32_t row = 0;
    for (int32_t o = 0; o < dims->out_channels; o += KG_ROWS_V6M) {
        int32_t count = smaller(dims->out_channels - o, KG_ROWS_V6M);
        for (int32_t j = 0; j < count; j++, row += dims->in_channels) {
            rows[j] = row;
        }
        kg_taps_dot_v6m(list, w, rows, count);
        for (int32_t j = 0; j < count; j++) {
            *sums++ += rows[j];
        }
    }
}

void kg_linear_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch) {
    kg_tap_t *taps = scratch;
    int32_t *sums = (int32_t *)(taps + list_capacity(dims));
    int32_t total = 0;
    memset(sums, 0, (size_t)dims->out_channels * sizeof *sums);
    for (int32_t i = 0; i < dims->in_channels; i += LIST) {
        kg_block_v6m_t block = {.values = x + i,
                                .zero = quant->x_zero,
                                .width = smaller(dims->in_channels - i, LIST),
                                .height = 1,
                                .channels = 1,
                                .step = 1,
                                .offset = i,
                                .offset_step = 1};
        kg_tap_list_t list = {taps, kg_taps_append_v6m(&block, taps, &total)};
        add_list(dims, list, w, sums);
    }
    kg_outputs_v6m(sums, b, dims->out_channels, -quant->w_zero * total, quant, y, 1);
}

size_t kg_linear_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_channels * sizeof(kg_tap_t);
}

// Lists the kept errors that are not zero, times their factor, each with the start of its row of
// weights, and their sum.
static kg_split_v6m_t list_errors(const kg_conv_dims_t *dims, const uint8_t *e,
                                  const kg_kept_t *kept, kg_tap_t *taps) {
    kg_split_v6m_t list = kg_split_start_v6m(taps, dims->out_channels);
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        int32_t value = (e[row.row] - KG_ERROR_ZERO) * row.factor;
        if (value != 0) {
            *list.end++ = (kg_tap_t){row.row * dims->in_channels, value};
            list.total += value;
        }
    }
    return list;
}

int32_t kg_linear_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch) {
    kg_split_v6m_t list = list_errors(dims, e, kept, scratch);
    kg_matrix_v6m_t matrix = {
        .quant = quant, .w = w, .row = 1, .count = dims->in_channels, .step = 1, .kept = kept};
    return kg_matrix_errors_v6m(&matrix, &list, mask, dx, 0);
}
