// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in uint8, plain C.
#include "ops/depthwise.h"

#include <string.h>

#include "ops/error.h"
#include "ops/requant.h"
#include "ops/window.h"

// sums[j * sum_step] += weight * (values[j * value_step] - zero)
static void add_products(int32_t *sums, int32_t sum_step, const uint8_t *values, int32_t value_step,
                         int32_t count, int32_t zero, int32_t weight) {
    for (; count > 0; count--) {
        *sums += weight * (*values - zero);
        sums += sum_step;
        values += value_step;
    }
}

size_t kg_depthwise_u8_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_width * sizeof(int32_t);
}

// Adds all taps to the sums of output row r; x and w are the channel's.
static void sum_row(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                    const kg_conv_quant_t *quant, int32_t r, int32_t *sums) {
    int32_t top = r * dims->stride_height - dims->pad_top;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        int32_t left = v - dims->pad_left;
        kg_range_t cols =
            kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
        left += cols.first * dims->stride_width;
        for (int32_t u = us.first; u < us.end; u++) {
            add_products(sums + cols.first, 1, x + (top + u) * dims->in_width + left,
                         dims->stride_width, cols.end - cols.first, quant->x_zero,
                         w[u * dims->kernel_width + v] - quant->w_zero);
        }
    }
}

// y[i,r,c] = clamp(z_y + rq(b[i] + sum_{u,v} (w[i,u,v] - z_w) (x[i,..] - z_x)), y_min, y_max)
void kg_depthwise_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                             const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                             void *scratch) {
    int32_t *sums = scratch;
    int32_t columns = kg_conv_columns(dims);
    for (int32_t i = 0; i < dims->groups; i++, w += columns) {
        for (int32_t r = 0; r < dims->out_height; r++) {
            for (int32_t c = 0; c < dims->out_width; c++) {
                sums[c] = b[i];
            }
            sum_row(dims, x + i * dims->in_height * dims->in_width, w, quant, r, sums);
            for (int32_t c = 0; c < dims->out_width; c++) {
                int32_t value = quant->y_zero + kg_requant(sums[c], quant->forward);
                *y++ = (uint8_t)kg_clamp(value, quant->y_min, quant->y_max);
            }
        }
    }
}

size_t kg_depthwise_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->in_width * sizeof(int32_t);
}

// Adds what the outputs of row r read through row u of taps, times factor; e and w are the
// channel's.
static void spread_row(const kg_conv_dims_t *dims, const uint8_t *e, const uint8_t *w,
                       int32_t w_zero, int32_t factor, int32_t r, int32_t u, int32_t *sums) {
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        int32_t left = v - dims->pad_left;
        kg_range_t cols =
            kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
        add_products(sums + cols.first * dims->stride_width + left, dims->stride_width,
                     e + r * dims->out_width + cols.first, 1, cols.end - cols.first, KG_ERROR_ZERO,
                     (w[u * dims->kernel_width + v] - w_zero) * factor);
    }
}

// Writes one row of dx. Returns the largest |sum|.
static int32_t finish_row(const kg_conv_dims_t *dims, const int32_t *sums, const kg_kept_t *kept,
                          const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx) {
    int32_t half = kg_kept_half(kept);
    int32_t fraction = kg_kept_fraction(kept);
    int32_t largest = 0;
    for (int32_t k = 0; k < dims->in_width; k++) {
        if (mask != NULL && mask[k] <= quant->x_zero) {
            dx[k] = KG_ERROR_ZERO;
            continue;
        }
        int32_t sum = (sums[k] + half) >> fraction;
        largest = kg_largest(largest, sum);
        dx[k] = kg_error(sum, quant->backward);
    }
    return largest;
}

// All rows of one channel; e, w, mask and dx are the channel's. Returns the largest |sum|.
static int32_t spread_channel(const kg_conv_dims_t *dims, const uint8_t *e, const kg_kept_t *kept,
                              int32_t factor, const uint8_t *w, const kg_conv_quant_t *quant,
                              const uint8_t *mask, uint8_t *dx, int32_t *sums) {
    int32_t largest = 0;
    int32_t at = 0;
    kg_range_t rows = {0, 0};
    for (int32_t h = 0; h < dims->in_height; h++, at += dims->in_width) {
        memset(sums, 0, (size_t)dims->in_width * sizeof *sums);
        kg_readers_advance(&rows, h + dims->pad_top, dims->kernel_height, dims->stride_height,
                           dims->out_height);
        for (int32_t r = rows.first; r < rows.end; r++) {
            spread_row(dims, e, w, quant->w_zero, factor, r,
                       h + dims->pad_top - r * dims->stride_height, sums);
        }
        int32_t one = finish_row(dims, sums, kept, quant, mask == NULL ? NULL : mask + at, dx + at);
        largest = one > largest ? one : largest;
    }
    return largest;
}

// dx[i,h,k] = clamp(128 + rq(sum_{u,v} (w[i,u,v] - z_w) (e[i,r,c] - 128) f[i]), 0, 255),
// 128 where mask[i,h,k] <= z_x
int32_t kg_depthwise_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                       const kg_kept_t *kept, const uint8_t *w,
                                       const kg_conv_quant_t *quant, const uint8_t *mask,
                                       uint8_t *dx, void *scratch) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t out_plane = dims->out_height * dims->out_width;
    int32_t columns = dims->kernel_height * dims->kernel_width;
    int32_t largest = 0;
    int32_t next = 0;  // channel
    for (int32_t j = 0; j < kg_kept_count(kept, dims->groups); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        int32_t i = row.row;
        memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((i - next) * plane));
        int32_t one =
            spread_channel(dims, e + i * out_plane, kept, row.factor, w + i * columns, quant,
                           mask == NULL ? NULL : mask + i * plane, dx + i * plane, scratch);
        largest = one > largest ? one : largest;
        next = i + 1;
    }
    memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((dims->groups - next) * plane));
    return largest;
}
