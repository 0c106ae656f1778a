// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in uint8 for the host: rows of sums that grow tap by tap, as on a board, in
// loops that compilers turn into vectors.
#include "ops/depthwise_host.h"

#include <string.h>

#include "ops/error.h"
#include "ops/requant.h"
#include "ops/window.h"

// sums[j] += weight * (values[j * step] - zero)
static inline void gather_products(int32_t *restrict sums, const uint8_t *restrict values,
                                   int32_t step, int32_t count, int16_t zero, int16_t weight) {
    for (int32_t j = 0; j < count; j++) {
        sums[j] += weight * (int16_t)(values[j * step] - zero);
    }
}

// sums[j * step] += weight * (values[j] - 128)
static inline void spread_products(int32_t *restrict sums, int32_t step,
                                   const uint8_t *restrict values, int32_t count, int32_t weight) {
    for (int32_t j = 0; j < count; j++) {
        sums[j * step] += weight * (values[j] - KG_ERROR_ZERO);
    }
}

// Adds all taps to the sums of output row r; x and w are the channel's.
static void sum_row(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                    const kg_conv_quant_t *quant, int32_t r, int32_t *sums) {
    int32_t step = dims->stride_width;
    int32_t top = r * dims->stride_height - dims->pad_top;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        int32_t left = v - dims->pad_left;
        kg_range_t cols = kg_outputs_inside(left, step, dims->in_width, dims->out_width);
        int32_t count = cols.end - cols.first;
        left += cols.first * step;
        for (int32_t u = us.first; u < us.end; u++) {
            const uint8_t *from = x + (top + u) * dims->in_width + left;
            int16_t weight = (int16_t)(w[u * dims->kernel_width + v] - quant->w_zero);
            int16_t zero = (int16_t)quant->x_zero;
            if (step == 1) {
                gather_products(sums + cols.first, from, 1, count, zero, weight);
            } else {
                gather_products(sums + cols.first, from, step, count, zero, weight);
            }
        }
    }
}

void kg_depthwise_u8_forward_host(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                  const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                  void *scratch) {
    kg_conv_quant_t q = *quant;
    int32_t *restrict sums = scratch;
    for (int32_t i = 0; i < dims->groups; i++, w += kg_conv_columns(dims)) {
        for (int32_t r = 0; r < dims->out_height; r++, y += dims->out_width) {
            memset(sums, 0, (size_t)dims->out_width * sizeof *sums);
            sum_row(dims, x + i * dims->in_height * dims->in_width, w, quant, r, sums);
            int32_t bias = b[i];
            for (int32_t c = 0; c < dims->out_width; c++) {
                int32_t value = q.y_zero + kg_requant(bias + sums[c], q.forward);
                y[c] = (uint8_t)kg_clamp(value, q.y_min, q.y_max);
            }
        }
    }
}

void kg_depthwise_u8_spread_host(const kg_conv_dims_t *dims, const uint8_t *e, const uint8_t *w,
                                 int32_t w_zero, int32_t factor, int32_t *sums) {
    int32_t step = dims->stride_width;
    memset(sums, 0, (size_t)(dims->in_height * dims->in_width) * sizeof *sums);
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        int32_t left = v - dims->pad_left;
        kg_range_t cols = kg_outputs_inside(left, step, dims->in_width, dims->out_width);
        int32_t count = cols.end - cols.first;
        left += cols.first * step;
        for (int32_t u = 0; u < dims->kernel_height; u++) {
            int32_t top = u - dims->pad_top;
            kg_range_t rows =
                kg_outputs_inside(top, dims->stride_height, dims->in_height, dims->out_height);
            int32_t weight = (w[u * dims->kernel_width + v] - w_zero) * factor;
            for (int32_t r = rows.first; r < rows.end; r++) {
                int32_t *to = sums + (r * dims->stride_height + top) * dims->in_width + left;
                const uint8_t *from = e + r * dims->out_width + cols.first;
                if (step == 1) {
                    spread_products(to, 1, from, count, weight);
                } else {
                    spread_products(to, step, from, count, weight);
                }
            }
        }
    }
}
