// SPDX-License-Identifier: Apache-2.0
// Transposed 2-D convolution in uint8 for Cortex-M0+: the lists of conv_transpose2d_u8.c, each
// against two rows at a time (taps_v6m.h).
#include "ops/conv_transpose2d.h"
#include "ops/error.h"
#include "ops/matrix_v6m.h"
#include "ops/window.h"

// The inputs that meet one output position, and that position counted from the start of the
// padding: rows and h one way, cols and k the other.
typedef struct {
    kg_range_t rows, cols;
    int32_t h, k;
} inputs_t;

size_t kg_conv_transpose2d_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return kg_conv_transpose2d_u8_forward_scratch_bytes(dims);
}

// Lists these inputs in all channels, and their sum; offsets are into w[o].
static kg_split_v6m_t list_inputs(const kg_conv_dims_t *dims, const uint8_t *x, int32_t x_zero,
                                  const inputs_t *at, kg_tap_t *taps) {
    kg_split_v6m_t list = kg_split_start_v6m(taps, 0);
    if (at->rows.first >= at->rows.end || at->cols.first >= at->cols.end) {
        return list;
    }
    kg_block_v6m_t block = {.values = x + at->rows.first * dims->in_width + at->cols.first,
                            .zero = x_zero,
                            .width = at->cols.end - at->cols.first,
                            .height = at->rows.end - at->rows.first,
                            .channels = dims->in_channels,
                            .step = 1,
                            .row = dims->in_width,
                            .channel = dims->in_height * dims->in_width,
                            .offset = (at->h - at->rows.first * dims->stride_height) *
                                          dims->kernel_width +
                                      at->k - at->cols.first * dims->stride_width,
                            .offset_step = -dims->stride_width,
                            .offset_row = -dims->stride_height * dims->kernel_width,
                            .offset_channel = dims->kernel_height * dims->kernel_width};
    kg_block_turn_v6m(&block);
    list.end = kg_taps_append_v6m(&block, taps, &list.total);
    return list;
}

void kg_conv_transpose2d_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                        const uint8_t *w, const int32_t *b,
                                        const kg_conv_quant_t *quant, uint8_t *y, void *scratch) {
    kg_matrix_v6m_t matrix = {.quant = quant,
                              .w = w,
                              .row = kg_conv_columns(dims),
                              .count = dims->out_channels,
                              .step = dims->out_height * dims->out_width};
    inputs_t at = {.rows = {0, 0}};
    for (int32_t h = 0; h < dims->out_height; h++) {
        at.h = h + dims->pad_top;
        kg_readers_advance(&at.rows, at.h, dims->kernel_height, dims->stride_height,
                           dims->in_height);
        at.cols = (kg_range_t){0, 0};
        for (int32_t k = 0; k < dims->out_width; k++) {
            at.k = k + dims->pad_left;
            kg_readers_advance(&at.cols, at.k, dims->kernel_width, dims->stride_width,
                               dims->in_width);
            kg_split_v6m_t list = list_inputs(dims, x, quant->x_zero, &at, scratch);
            kg_matrix_outputs_v6m(&matrix, &list, b, y++);
        }
    }
}

size_t kg_conv_transpose2d_u8_weight_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return kg_conv_transpose2d_u8_weight_gradient_scratch_bytes(dims);
}

// Adds the errors under tap (u, v) of input rows `first` to `end` to row[., u, v]; e is the
// channel's map, row starts at the tap.
static void add_tap(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e, int32_t x_zero,
                    int32_t u, int32_t v, kg_range_t rows, int32_t *row, kg_tap_t *taps) {
    int32_t left = v - dims->pad_left;
    int32_t plane = dims->in_height * dims->in_width;
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->out_width, dims->in_width);
    if (rows.first >= rows.end || cols.first >= cols.end) {
        return;
    }
    int32_t top = rows.first * dims->stride_height + u - dims->pad_top;
    kg_block_v6m_t block = {.values =
                                e + top * dims->out_width + left + cols.first * dims->stride_width,
                            .zero = KG_ERROR_ZERO,
                            .width = cols.end - cols.first,
                            .height = rows.end - rows.first,
                            .channels = 1,
                            .step = dims->stride_width,
                            .row = dims->stride_height * dims->out_width,
                            .offset = rows.first * dims->in_width + cols.first,
                            .offset_step = 1,
                            .offset_row = dims->in_width};
    int32_t total = 0;
    kg_tap_list_t errors = {taps, kg_taps_append_v6m(&block, taps, &total)};
    kg_maps_sums_v6m(errors, x, plane, dims->in_channels, -x_zero * total, row,
                     dims->kernel_height * dims->kernel_width);
}

void kg_conv_transpose2d_u8_weight_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                                const uint8_t *e, const kg_conv_quant_t *quant,
                                                int32_t channel, int32_t *row, void *scratch) {
    int32_t at_once = kg_conv_transpose2d_list_capacity(dims) / dims->in_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t k = 0; k < kg_conv_columns(dims); k++) {
        row[k] = 0;
    }
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        kg_range_t inside = kg_outputs_inside(u - dims->pad_top, dims->stride_height,
                                              dims->out_height, dims->in_height);
        for (int32_t v = 0; v < dims->kernel_width; v++, row++) {
            for (int32_t r = inside.first; r < inside.end; r += at_once) {
                int32_t end = r + at_once < inside.end ? r + at_once : inside.end;
                add_tap(dims, x, e, quant->x_zero, u, v, (kg_range_t){r, end}, row, scratch);
            }
        }
    }
}

size_t kg_conv_transpose2d_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return kg_conv_transpose2d_u8_input_gradient_scratch_bytes(dims);
}

// Lists the errors that input position (r, c) has met in all kept channels, times their factors,
// and their sum; offsets are into w[.,0,.,.].
static kg_split_v6m_t list_errors(const kg_conv_dims_t *dims, const uint8_t *e,
                                  const kg_kept_t *kept, int32_t r, int32_t c, kg_tap_t *taps) {
    kg_split_v6m_t list = kg_split_start_v6m(taps, 0);
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->out_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->out_width);
    if (us.first >= us.end || vs.first >= vs.end) {
        return list;
    }
    kg_block_v6m_t block = {.values = e + (top + us.first) * dims->out_width + left + vs.first,
                            .zero = KG_ERROR_ZERO,
                            .width = vs.end - vs.first,
                            .height = us.end - us.first,
                            .channels = dims->out_channels,
                            .step = 1,
                            .row = dims->out_width,
                            .channel = dims->out_height * dims->out_width,
                            .offset = us.first * dims->kernel_width + vs.first,
                            .offset_step = 1,
                            .offset_row = dims->kernel_width,
                            .offset_channel = kg_conv_columns(dims)};
    list.end = kg_taps_append_kept_v6m(&block, kept, 0, taps, &list.total);
    return list;
}

int32_t kg_conv_transpose2d_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                                  const kg_kept_t *kept, const uint8_t *w,
                                                  const kg_conv_quant_t *quant, const uint8_t *mask,
                                                  uint8_t *dx, void *scratch) {
    kg_matrix_v6m_t matrix = {.quant = quant,
                              .w = w,
                              .row = dims->kernel_height * dims->kernel_width,
                              .count = dims->in_channels,
                              .step = dims->in_height * dims->in_width,
                              .kept = kept};
    int32_t largest = 0;
    int32_t at = 0;
    for (int32_t r = 0; r < dims->in_height; r++) {
        for (int32_t c = 0; c < dims->in_width; c++, at++) {
            kg_split_v6m_t list = list_errors(dims, e, kept, r, c, scratch);
            largest = kg_matrix_errors_v6m(&matrix, &list, mask == NULL ? NULL : mask + at, dx + at,
                                           largest);
        }
    }
    return largest;
}
