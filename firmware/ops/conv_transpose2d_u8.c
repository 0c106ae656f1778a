// SPDX-License-Identifier: Apache-2.0
// Transposed 2-D convolution in uint8, plain C, on lists of operands as conv2d_u8.c.
// Sums stay inside int32 up to 16384 elements of a fan-in, or of an input map.
#include "ops/conv_transpose2d.h"

#include "ops/error.h"
#include "ops/requant.h"
#include "ops/taps_u8.h"
#include "ops/window.h"

// The inputs that meet one output position, and that position counted from the start of the
// padding: rows and h one way, cols and k the other.
typedef struct {
    kg_range_t rows, cols;
    int32_t h, k;
} inputs_t;

size_t kg_conv_transpose2d_u8_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)(dims->in_channels * kg_conv_transpose2d_overlap(dims)) * sizeof(kg_tap_t);
}

// Appends one input position of all channels; x starts at it, the offset is that of channel 0.
static kg_tap_t *append_channels(const kg_conv_dims_t *dims, const uint8_t *x, int32_t x_zero,
                                 int32_t offset, kg_tap_t *end) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    for (int32_t i = 0; i < dims->in_channels; i++, x += plane, offset += taps) {
        int32_t value = *x - x_zero;
        if (value != 0) {
            end->offset = offset;
            end->value = value;
            end++;
        }
    }
    return end;
}

// Lists these inputs in all channels; offsets are into w[o]. The inputs are few, the channels many:
// they are the inner loop.
static kg_tap_list_t list_inputs(const kg_conv_dims_t *dims, const uint8_t *x, int32_t x_zero,
                                 const inputs_t *at, kg_tap_t *taps) {
    kg_tap_t *end = taps;
    for (int32_t r = at->rows.first; r < at->rows.end; r++) {
        int32_t u = at->h - r * dims->stride_height;
        for (int32_t c = at->cols.first; c < at->cols.end; c++) {
            int32_t v = at->k - c * dims->stride_width;
            end = append_channels(dims, x + r * dims->in_width + c, x_zero,
                                  u * dims->kernel_width + v, end);
        }
    }
    return (kg_tap_list_t){taps, end};
}

// One output position in all channels; y starts at the position.
static void forward_position(const kg_conv_dims_t *dims, kg_tap_list_t list, const uint8_t *w,
                             const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y) {
    int32_t plane = dims->out_height * dims->out_width;
    int32_t correction = quant->w_zero * kg_taps_total(list);
    for (int32_t o = 0; o < dims->out_channels; o++, w += kg_conv_columns(dims)) {
        int32_t sum = b[o] - correction + kg_taps_dot_u8(list, w);
        sum = quant->y_zero + kg_requant(sum, quant->forward);
        y[o * plane] = (uint8_t)kg_clamp(sum, quant->y_min, quant->y_max);
    }
}

// y[o,h,k] = clamp(z_y + rq(b[o] + sum_{i,u,v} (w[o,i,u,v] - z_w) (x[i,r,c] - z_x)), y_min, y_max),
// h = r*S + u - P, k = c*S + v - P
void kg_conv_transpose2d_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                    const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                    void *scratch) {
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
            kg_tap_list_t list = list_inputs(dims, x, quant->x_zero, &at, scratch);
            forward_position(dims, list, w, b, quant, y++);
        }
    }
}

size_t kg_conv_transpose2d_u8_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)kg_conv_transpose2d_list_capacity(dims) * sizeof(kg_tap_t);
}

// Lists the errors under tap (u, v) of the input rows from *r on, as many as fit, and moves *r. The
// offset is that of the input element; e is the channel's map.
static kg_tap_list_t list_rows(const kg_conv_dims_t *dims, const uint8_t *e, int32_t u, int32_t v,
                               int32_t *r, kg_tap_t *taps) {
    int32_t left = v - dims->pad_left;
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->out_width, dims->in_width);
    const kg_tap_t *last_start = taps + kg_conv_transpose2d_list_capacity(dims) - dims->in_width;
    kg_tap_t *end = taps;
    for (; *r < dims->in_height && end <= last_start; ++*r) {
        int32_t h = *r * dims->stride_height + u - dims->pad_top;
        if (h < 0 || h >= dims->out_height) {
            continue;
        }
        const uint8_t *from = e + h * dims->out_width + left;
        for (int32_t c = cols.first; c < cols.end; c++) {
            end = kg_taps_append_u8(end, from + c * dims->stride_width, 1, KG_ERROR_ZERO,
                                    *r * dims->in_width + c, 0);
        }
    }
    return (kg_tap_list_t){taps, end};
}

// row[i,u,v] = sum_{r,c} (e[channel,r*S+u-P,c*S+v-P] - 128) (x[i,r,c] - z_x)
void kg_conv_transpose2d_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x,
                                            const uint8_t *e, const kg_conv_quant_t *quant,
                                            int32_t channel, int32_t *row, void *scratch) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t k = 0; k < kg_conv_columns(dims); k++) {
        row[k] = 0;
    }
    for (int32_t tap = 0; tap < taps; tap++, row++) {
        int32_t u = tap / dims->kernel_width;
        int32_t v = tap % dims->kernel_width;
        for (int32_t r = 0; r < dims->in_height;) {
            kg_tap_list_t errors = list_rows(dims, e, u, v, &r, scratch);
            int32_t correction = quant->x_zero * kg_taps_total(errors);
            for (int32_t i = 0; i < dims->in_channels; i++) {
                row[i * taps] += kg_taps_dot_u8(errors, x + i * plane) - correction;
            }
        }
    }
}

size_t kg_conv_transpose2d_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)(dims->out_channels * dims->kernel_height * dims->kernel_width) *
           sizeof(kg_tap_t);
}

// Lists the errors that input position (r, c) has met in all kept channels, times their factors;
// offsets are into w[.,0,.,.].
static kg_tap_list_t list_errors(const kg_conv_dims_t *dims, const uint8_t *e,
                                 const kg_kept_t *kept, int32_t r, int32_t c, kg_tap_t *taps) {
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->out_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->out_width);
    kg_tap_t *end = taps;
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        kg_tap_t *tap = end;
        for (int32_t u = us.first; u < us.end; u++) {
            int32_t from = (row.row * dims->out_height + top + u) * dims->out_width + left;
            int32_t offset = row.row * kg_conv_columns(dims) + u * dims->kernel_width + vs.first;
            end = kg_taps_append_u8(end, e + from + vs.first, vs.end - vs.first, KG_ERROR_ZERO,
                                    offset, 1);
        }
        for (; row.factor != 1 && tap < end; tap++) {
            tap->value *= row.factor;
        }
    }
    return (kg_tap_list_t){taps, end};
}

// dx[i,r,c] = clamp(128 + rq(sum_{o,u,v} (w[o,i,u,v] - z_w) (e[o,r*S+u-P,c*S+v-P] - 128) f[o]), 0,
// 255), 128 where mask[i,r,c] <= z_x
int32_t kg_conv_transpose2d_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                              const kg_kept_t *kept, const uint8_t *w,
                                              const kg_conv_quant_t *quant, const uint8_t *mask,
                                              uint8_t *dx, void *scratch) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t fraction = kg_kept_fraction(kept);
    int32_t largest = 0;
    for (int32_t at = 0; at < plane; at++) {
        kg_tap_list_t list =
            list_errors(dims, e, kept, at / dims->in_width, at % dims->in_width, scratch);
        int32_t base = kg_kept_half(kept) - quant->w_zero * kg_taps_total(list);
        for (int32_t i = 0; i < dims->in_channels; i++) {
            if (mask != NULL && mask[i * plane + at] <= quant->x_zero) {
                dx[i * plane + at] = KG_ERROR_ZERO;
                continue;
            }
            int32_t sum = (kg_taps_dot_u8(list, w + i * taps) + base) >> fraction;
            largest = kg_largest(largest, sum);
            dx[i * plane + at] = kg_error(sum, quant->backward);
        }
    }
    return largest;
}
