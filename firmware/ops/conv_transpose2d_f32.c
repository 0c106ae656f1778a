// SPDX-License-Identifier: Apache-2.0
// Transposed 2-D convolution in float32, plain C, on lists of operands as conv2d_f32.c.
#include "ops/conv_transpose2d.h"

#include "ops/clamp.h"
#include "ops/taps_f32.h"
#include "ops/window.h"

// The inputs that meet one output position, and that position counted from the start of the
// padding: rows and h one way, cols and k the other.
typedef struct {
    kg_range_t rows, cols;
    int32_t h, k;
} inputs_t;

size_t kg_conv_transpose2d_f32_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)(dims->in_channels * kg_conv_transpose2d_overlap(dims)) * sizeof(kg_tap_f32_t);
}

// Lists these inputs in (i, u, v) order, so the last position first; offsets are into w[o].
static kg_tap_list_f32_t list_inputs(const kg_conv_dims_t *dims, const float *x, const inputs_t *at,
                                     kg_tap_f32_t *taps) {
    int32_t count = at->cols.end - at->cols.first;
    int32_t last = at->cols.end - 1;
    int32_t v = at->k - last * dims->stride_width;
    kg_tap_f32_t *end = taps;
    for (int32_t i = 0; i < dims->in_channels; i++) {
        for (int32_t r = at->rows.end - 1; r >= at->rows.first; r--) {
            int32_t from = (i * dims->in_height + r) * dims->in_width + last;
            int32_t u = at->h - r * dims->stride_height;
            int32_t offset = (i * dims->kernel_height + u) * dims->kernel_width + v;
            end = kg_taps_append_f32(end, x + from, -1, count, offset, dims->stride_width);
        }
    }
    return (kg_tap_list_f32_t){taps, end};
}

// y[o,h,k] = clamp(sum_{i,u,v} w[o,i,u,v] x[i,r,c] + b[o], y_min, y_max),
// h = r*S + u - P, k = c*S + v - P
void kg_conv_transpose2d_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                                     const float *b, float y_min, float y_max, float *y,
                                     void *scratch) {
    int32_t plane = dims->out_height * dims->out_width;
    inputs_t at = {.rows = {0, 0}};
    for (int32_t h = 0; h < dims->out_height; h++) {
        at.h = h + dims->pad_top;
        kg_readers_advance(&at.rows, at.h, dims->kernel_height, dims->stride_height,
                           dims->in_height);
        at.cols = (kg_range_t){0, 0};
        for (int32_t k = 0; k < dims->out_width; k++, y++) {
            at.k = k + dims->pad_left;
            kg_readers_advance(&at.cols, at.k, dims->kernel_width, dims->stride_width,
                               dims->in_width);
            kg_tap_list_f32_t list = list_inputs(dims, x, &at, scratch);
            for (int32_t o = 0; o < dims->out_channels; o++) {
                float sum = kg_taps_dot_f32(list, w + o * kg_conv_columns(dims), 0.0f) + b[o];
                y[o * plane] = kg_clampf(sum, y_min, y_max);
            }
        }
    }
}

size_t kg_conv_transpose2d_f32_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)kg_conv_transpose2d_list_capacity(dims) * sizeof(kg_tap_f32_t);
}

// Lists the errors under tap (u, v) of the input rows from *r on, as many as fit, and moves *r. The
// offset is that of the input element; e is the channel's map.
static kg_tap_list_f32_t list_rows(const kg_conv_dims_t *dims, const float *e, int32_t u, int32_t v,
                                   int32_t *r, kg_tap_f32_t *taps) {
    int32_t left = v - dims->pad_left;
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->out_width, dims->in_width);
    const kg_tap_f32_t *last_start =
        taps + kg_conv_transpose2d_list_capacity(dims) - dims->in_width;
    kg_tap_f32_t *end = taps;
    for (; *r < dims->in_height && end <= last_start; ++*r) {
        int32_t h = *r * dims->stride_height + u - dims->pad_top;
        if (h < 0 || h >= dims->out_height) {
            continue;
        }
        const float *from = e + h * dims->out_width + left + cols.first * dims->stride_width;
        end = kg_taps_append_f32(end, from, dims->stride_width, cols.end - cols.first,
                                 *r * dims->in_width + cols.first, 1);
    }
    return (kg_tap_list_f32_t){taps, end};
}

// row[i,u,v] = sum_{r,c} e[channel,r*S+u-P,c*S+v-P] x[i,r,c]
void kg_conv_transpose2d_f32_weight_gradient(const kg_conv_dims_t *dims, const float *x,
                                             const float *e, int32_t channel, float *row,
                                             void *scratch) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t k = 0; k < kg_conv_columns(dims); k++) {
        row[k] = 0.0f;
    }
    for (int32_t tap = 0; tap < taps; tap++, row++) {
        int32_t u = tap / dims->kernel_width;
        int32_t v = tap % dims->kernel_width;
        for (int32_t r = 0; r < dims->in_height;) {
            kg_tap_list_f32_t errors = list_rows(dims, e, u, v, &r, scratch);
            for (int32_t i = 0; i < dims->in_channels; i++) {
                row[i * taps] = kg_taps_dot_f32(errors, x + i * plane, row[i * taps]);
            }
        }
    }
}

size_t kg_conv_transpose2d_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)(dims->out_channels * dims->kernel_height * dims->kernel_width) *
           sizeof(kg_tap_f32_t);
}

// Lists the errors that input position (r, c) has met in all kept channels, times their factors;
// offsets are into w[.,0,.,.].
static kg_tap_list_f32_t list_errors(const kg_conv_dims_t *dims, const float *e,
                                     const kg_kept_t *kept, int32_t r, int32_t c,
                                     kg_tap_f32_t *taps) {
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->out_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->out_width);
    kg_tap_f32_t *end = taps;
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        kg_tap_f32_t *tap = end;
        for (int32_t u = us.first; u < us.end; u++) {
            int32_t from = (row.row * dims->out_height + top + u) * dims->out_width + left;
            int32_t offset = row.row * kg_conv_columns(dims) + u * dims->kernel_width + vs.first;
            end = kg_taps_append_f32(end, e + from + vs.first, 1, vs.end - vs.first, offset, 1);
        }
        for (; kept != NULL && tap < end; tap++) {
            tap->value *= kg_kept_scale(kept, row);
        }
    }
    return (kg_tap_list_f32_t){taps, end};
}

// dx[i,r,c] = sum_{o,u,v} w[o,i,u,v] (e[o,r*S+u-P,c*S+v-P] f[o]), 0 where mask[i,r,c] <= 0
void kg_conv_transpose2d_f32_input_gradient(const kg_conv_dims_t *dims, const float *e,
                                            const kg_kept_t *kept, const float *w,
                                            const float *mask, float *dx, void *scratch) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    for (int32_t at = 0; at < plane; at++) {
        kg_tap_list_f32_t list =
            list_errors(dims, e, kept, at / dims->in_width, at % dims->in_width, scratch);
        for (int32_t i = 0; i < dims->in_channels; i++) {
            int32_t place = i * plane + at;
            int masked = mask != NULL && mask[place] <= 0.0f;
            dx[place] = masked ? 0.0f : kg_taps_dot_f32(list, w + i * taps, 0.0f);
        }
    }
}
