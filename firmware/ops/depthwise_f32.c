// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in float32, plain C.
#include "ops/depthwise.h"

#include <string.h>

#include "ops/clamp.h"
#include "ops/window.h"

// sums[j * sum_step] += weight * values[j * value_step]
static void add_products(float *sums, int32_t sum_step, const float *values, int32_t value_step,
                         int32_t count, float weight) {
    for (; count > 0; count--) {
        *sums += weight * *values;
        sums += sum_step;
        values += value_step;
    }
}

size_t kg_depthwise_f32_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_width * sizeof(float);
}

// Adds all taps, in (u, v) order, to the sums of output row r; x and w are the channel's.
static void sum_row(const kg_conv_dims_t *dims, const float *x, const float *w, int32_t r,
                    float *sums) {
    int32_t top = r * dims->stride_height - dims->pad_top;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    for (int32_t u = us.first; u < us.end; u++) {
        for (int32_t v = 0; v < dims->kernel_width; v++) {
            int32_t left = v - dims->pad_left;
            kg_range_t cols =
                kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
            left += cols.first * dims->stride_width;
            add_products(sums + cols.first, 1, x + (top + u) * dims->in_width + left,
                         dims->stride_width, cols.end - cols.first, w[u * dims->kernel_width + v]);
        }
    }
}

// y[i,r,c] = clamp(sum_{u,v} w[i,u,v] x[i,r*S+u-P,c*S+v-P] + b[i], y_min, y_max)
void kg_depthwise_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                              const float *b, float y_min, float y_max, float *y, void *scratch) {
    float *sums = scratch;
    int32_t columns = kg_conv_columns(dims);
    for (int32_t i = 0; i < dims->groups; i++, w += columns) {
        for (int32_t r = 0; r < dims->out_height; r++) {
            memset(sums, 0, (size_t)dims->out_width * sizeof *sums);
            sum_row(dims, x + i * dims->in_height * dims->in_width, w, r, sums);
            for (int32_t c = 0; c < dims->out_width; c++) {
                *y++ = kg_clampf(sums[c] + b[i], y_min, y_max);
            }
        }
    }
}

// sums[j * step] += weight * (values[j] * scale)
static void add_scaled_products(float *sums, int32_t step, const float *values, float scale,
                                int32_t count, float weight) {
    for (; count > 0; count--) {
        *sums += weight * (*values++ * scale);
        sums += step;
    }
}

size_t kg_depthwise_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->in_width * sizeof(float);
}

// Adds what the outputs of row r read through row u of taps, times scale; e and w are the
// channel's.
static void spread_row(const kg_conv_dims_t *dims, const float *e, float scale, const float *w,
                       int32_t r, int32_t u, float *sums) {
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        int32_t left = v - dims->pad_left;
        kg_range_t cols =
            kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
        float *to = sums + cols.first * dims->stride_width + left;
        const float *from = e + r * dims->out_width + cols.first;
        float weight = w[u * dims->kernel_width + v];
        int32_t count = cols.end - cols.first;
        if (scale == 1.0f) {
            add_products(to, dims->stride_width, from, 1, count, weight);
        } else {
            add_scaled_products(to, dims->stride_width, from, scale, count, weight);
        }
    }
}

// All rows of one channel; e, w, mask and dx are the channel's. The last row of outputs has the
// first row of taps.
static void spread_channel(const kg_conv_dims_t *dims, const float *e, float scale, const float *w,
                           const float *mask, float *dx, float *sums) {
    int32_t at = 0;
    kg_range_t rows = {0, 0};
    for (int32_t h = dims->pad_top; h < dims->pad_top + dims->in_height; h++) {
        memset(sums, 0, (size_t)dims->in_width * sizeof *sums);
        kg_readers_advance(&rows, h, dims->kernel_height, dims->stride_height, dims->out_height);
        for (int32_t r = rows.end - 1; r >= rows.first; r--) {
            spread_row(dims, e, scale, w, r, h - r * dims->stride_height, sums);
        }
        for (int32_t k = 0; k < dims->in_width; k++, at++) {
            dx[at] = mask != NULL && mask[at] <= 0.0f ? 0.0f : sums[k];
        }
    }
}

// dx[i,h,k] = sum_{u,v} w[i,u,v] (e[i,r,c] f[i]), 0 where mask[i,h,k] <= 0
void kg_depthwise_f32_input_gradient(const kg_conv_dims_t *dims, const float *e,
                                     const kg_kept_t *kept, const float *w, const float *mask,
                                     float *dx, void *scratch) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t out_plane = dims->out_height * dims->out_width;
    int32_t columns = dims->kernel_height * dims->kernel_width;
    int32_t next = 0;  // channel
    for (int32_t j = 0; j < kg_kept_count(kept, dims->groups); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        int32_t i = row.row;
        memset(dx + next * plane, 0, (size_t)((i - next) * plane) * sizeof *dx);
        spread_channel(dims, e + i * out_plane, kg_kept_scale(kept, row), w + i * columns,
                       mask == NULL ? NULL : mask + i * plane, dx + i * plane, scratch);
        next = i + 1;
    }
    memset(dx + next * plane, 0, (size_t)((dims->groups - next) * plane) * sizeof *dx);
}
