// SPDX-License-Identifier: Apache-2.0
// Average pooling in float32.
#include "ops/average_pool.h"

#include <stdbool.h>

#include "ops/window.h"

// sum_{u,v} x of one window; x is the channel's map, (top, left) the map position of the window's
// tap 0.
static float sum_window(const kg_pool_dims_t *dims, const float *x, int32_t top, int32_t left) {
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    float sum = 0.0f;
    for (int32_t u = us.first; u < us.end; u++) {
        int32_t from = (top + u) * dims->in_width + left;
        for (int32_t v = vs.first; v < vs.end; v++) {
            sum += x[from + v];
        }
    }
    return sum;
}

// y[i,r,c] = (sum_{u,v} x[i,r*S+u-P,c*S+v-P]) * factor
void kg_average_pool_f32_forward(const kg_pool_dims_t *dims, const float *x, float factor,
                                 float *y) {
    for (int32_t i = 0; i < dims->channels; i++) {
        const float *map = x + i * dims->in_height * dims->in_width;
        for (int32_t r = 0; r < dims->out_height; r++) {
            int32_t top = r * dims->stride_height - dims->pad_top;
            for (int32_t c = 0; c < dims->out_width; c++) {
                *y++ = sum_window(dims, map, top, c * dims->stride_width - dims->pad_left) * factor;
            }
        }
    }
}

// Sums the errors of the windows at (rows, cols); e is the channel's map.
static float sum_errors(const kg_pool_dims_t *dims, const float *e, kg_range_t rows,
                        kg_range_t cols) {
    float sum = 0.0f;
    for (int32_t r = rows.first; r < rows.end; r++) {
        for (int32_t c = cols.first; c < cols.end; c++) {
            sum += e[r * dims->out_width + c];
        }
    }
    return sum;
}

// dx[i,h,k] = (sum over the windows (r, c) that hold x[i,h,k] of e[i,r,c]) * factor, 0 where
// mask[i,h,k] <= 0
void kg_average_pool_f32_backward(const kg_pool_dims_t *dims, const float *e, float factor,
                                  const float *mask, float *dx) {
    int32_t at = 0;
    for (int32_t i = 0; i < dims->channels; i++, e += dims->out_height * dims->out_width) {
        kg_range_t rows = {0, 0};
        for (int32_t h = 0; h < dims->in_height; h++) {
            kg_range_t cols = {0, 0};
            kg_readers_advance(&rows, h + dims->pad_top, dims->kernel_height, dims->stride_height,
                               dims->out_height);
            for (int32_t k = 0; k < dims->in_width; k++, at++) {
                kg_readers_advance(&cols, k + dims->pad_left, dims->kernel_width,
                                   dims->stride_width, dims->out_width);
                bool masked = mask != NULL && mask[at] <= 0.0f;
                dx[at] = masked ? 0.0f : sum_errors(dims, e, rows, cols) * factor;
            }
        }
    }
}
