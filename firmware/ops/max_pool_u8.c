// SPDX-License-Identifier: Apache-2.0
// Max pooling in uint8.
#include "ops/max_pool.h"

#include <string.h>

#include "ops/error.h"
#include "ops/window.h"

// Finds the winner among the taps us of one window; x is the row of tap us.first, left the column
// of tap 0.
static void find_largest(const kg_pool_dims_t *dims, const uint8_t *x, kg_range_t us, int32_t left,
                         uint8_t *y, uint8_t *argmax) {
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    int32_t tap = us.first * dims->kernel_width;
    int32_t winner = tap + vs.first;
    uint8_t largest = x[left + vs.first];
    for (int32_t u = us.first; u < us.end; u++) {
        for (int32_t v = vs.first; v < vs.end; v++) {
            uint8_t value = x[left + v];
            if (value > largest) {
                largest = value;
                winner = tap + v;
            }
        }
        x += dims->in_width;
        tap += dims->kernel_width;
    }
    *y = largest;
    *argmax = (uint8_t)winner;
}

// y[i,r,c] = max_{u,v} x[i,r*S+u-P,c*S+v-P], argmax[i,r,c] = the tap u * kernel_width + v that gave
// it
void kg_max_pool_u8_forward(const kg_pool_dims_t *dims, const uint8_t *x, uint8_t *y,
                            uint8_t *argmax) {
    for (int32_t i = 0; i < dims->channels; i++, x += dims->in_height * dims->in_width) {
        for (int32_t r = 0; r < dims->out_height; r++) {
            int32_t top = r * dims->stride_height - dims->pad_top;
            int32_t left = -dims->pad_left;
            kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
            const uint8_t *row = x + (top + us.first) * dims->in_width;
            for (int32_t c = 0; c < dims->out_width; c++, left += dims->stride_width) {
                find_largest(dims, row, us, left, y++, argmax++);
            }
        }
    }
}

// Sums the errors of the windows at (rows, cols) that the element (h, k) won, both counted from the
// start of the padding; e and argmax are the channel's maps.
static int32_t sum_won(const kg_pool_dims_t *dims, const uint8_t *e, const uint8_t *argmax,
                       kg_range_t rows, kg_range_t cols, int32_t h, int32_t k) {
    int32_t sum = 0;
    for (int32_t r = rows.first; r < rows.end; r++) {
        int32_t tap = (h - r * dims->stride_height) * dims->kernel_width + k;
        for (int32_t c = cols.first; c < cols.end; c++) {
            int32_t at = r * dims->out_width + c;
            if (argmax[at] == tap - c * dims->stride_width) {
                sum += e[at] - KG_ERROR_ZERO;
            }
        }
    }
    return sum;
}

// Any windows: each element asks the windows that hold it.
static void gather(const kg_pool_dims_t *dims, const uint8_t *e, const uint8_t *argmax,
                   uint8_t *dx) {
    int32_t plane = dims->out_height * dims->out_width;
    for (int32_t i = 0; i < dims->channels; i++, e += plane, argmax += plane) {
        kg_range_t rows = {0, 0};
        for (int32_t h = dims->pad_top; h < dims->pad_top + dims->in_height; h++) {
            kg_range_t cols = {0, 0};
            kg_readers_advance(&rows, h, dims->kernel_height, dims->stride_height,
                               dims->out_height);
            for (int32_t k = dims->pad_left; k < dims->pad_left + dims->in_width; k++) {
                kg_readers_advance(&cols, k, dims->kernel_width, dims->stride_width,
                                   dims->out_width);
                int32_t sum = KG_ERROR_ZERO + sum_won(dims, e, argmax, rows, cols, h, k);
                *dx++ = (uint8_t)kg_clamp(sum, 0, 255);
            }
        }
    }
}

// Windows that do not overlap: each gives its error to its winner.
static void scatter(const kg_pool_dims_t *dims, const uint8_t *e, const uint8_t *argmax,
                    uint8_t *dx) {
    int32_t plane = dims->in_height * dims->in_width;
    memset(dx, KG_ERROR_ZERO, (size_t)(dims->channels * plane));
    for (int32_t i = 0; i < dims->channels; i++, dx += plane) {
        for (int32_t r = 0; r < dims->out_height; r++) {
            int32_t row = (r * dims->stride_height - dims->pad_top) * dims->in_width;
            int32_t left = -dims->pad_left;
            for (int32_t c = 0; c < dims->out_width; c++, left += dims->stride_width) {
                uint8_t error = *e++;
                int32_t tap = *argmax++;
                if (error != KG_ERROR_ZERO) {  // what is there already
                    int32_t at = row + left;
                    for (; tap >= dims->kernel_width; tap -= dims->kernel_width) {
                        at += dims->in_width;
                    }
                    dx[at + tap] = error;
                }
            }
        }
    }
}

// dx[i,h,k] = clamp(128 + sum over the windows (r, c) that x[i,h,k] won of (e[i,r,c] - 128), 0,
// 255)
void kg_max_pool_u8_backward(const kg_pool_dims_t *dims, const uint8_t *e, const uint8_t *argmax,
                             uint8_t *dx) {
    if (dims->kernel_height <= dims->stride_height && dims->kernel_width <= dims->stride_width) {
        scatter(dims, e, argmax, dx);
    } else {
        gather(dims, e, argmax, dx);
    }
}
