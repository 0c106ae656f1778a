// SPDX-License-Identifier: Apache-2.0
// Average pooling in uint8.
#include "ops/average_pool.h"

#include "ops/error.h"
#include "ops/window.h"

// sum_{u,v} (x - z_x) of one window; x is the channel's map, (top, left) the map position of the
// window's tap 0.
static int32_t sum_window(const kg_pool_dims_t *dims, const uint8_t *x, int32_t zero, int32_t top,
                          int32_t left) {
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    int32_t sum = 0;
    for (int32_t u = us.first; u < us.end; u++) {
        int32_t from = (top + u) * dims->in_width + left;
        for (int32_t v = vs.first; v < vs.end; v++) {
            sum += x[from + v] - zero;
        }
    }
    return sum;
}

// y[i,r,c] = clamp(z_y + rq(sum_{u,v} (x[i,r*S+u-P,c*S+v-P] - z_x)), 0, 255)
void kg_average_pool_u8_forward(const kg_pool_dims_t *dims, const uint8_t *x,
                                const kg_average_pool_quant_t *quant, uint8_t *y) {
    for (int32_t i = 0; i < dims->channels; i++) {
        const uint8_t *map = x + i * dims->in_height * dims->in_width;
        for (int32_t r = 0; r < dims->out_height; r++) {
            int32_t top = r * dims->stride_height - dims->pad_top;
            for (int32_t c = 0; c < dims->out_width; c++) {
                int32_t sum = sum_window(dims, map, quant->x_zero, top,
                                         c * dims->stride_width - dims->pad_left);
                *y++ = (uint8_t)kg_clamp(quant->y_zero + kg_requant(sum, quant->forward), 0, 255);
            }
        }
    }
}

// Sums the errors of the windows at (rows, cols); e is the channel's map.
static int32_t sum_errors(const kg_pool_dims_t *dims, const uint8_t *e, kg_range_t rows,
                          kg_range_t cols) {
    int32_t sum = 0;
    for (int32_t r = rows.first; r < rows.end; r++) {
        for (int32_t c = cols.first; c < cols.end; c++) {
            sum += e[r * dims->out_width + c] - KG_ERROR_ZERO;
        }
    }
    return sum;
}

// The backward side of one channel: dx, mask are its maps.
static int32_t spread(const kg_pool_dims_t *dims, const uint8_t *e,
                      const kg_average_pool_quant_t *quant, const uint8_t *mask, uint8_t *dx) {
    int32_t largest = 0;
    int32_t at = 0;
    kg_range_t rows = {0, 0};
    for (int32_t h = 0; h < dims->in_height; h++) {
        kg_range_t cols = {0, 0};
        kg_readers_advance(&rows, h + dims->pad_top, dims->kernel_height, dims->stride_height,
                           dims->out_height);
        for (int32_t k = 0; k < dims->in_width; k++, at++) {
            kg_readers_advance(&cols, k + dims->pad_left, dims->kernel_width, dims->stride_width,
                               dims->out_width);
            if (mask != NULL && mask[at] <= quant->x_zero) {
                dx[at] = KG_ERROR_ZERO;
                continue;
            }
            int32_t sum = sum_errors(dims, e, rows, cols);
            largest = kg_largest(largest, sum);
            dx[at] = kg_error(sum, quant->backward);
        }
    }
    return largest;
}

// dx[i,h,k] = clamp(128 + rq(sum over the windows (r, c) that hold x[i,h,k] of (e[i,r,c] - 128)),
// 0, 255), 128 where mask[i,h,k] <= z_x
int32_t kg_average_pool_u8_backward(const kg_pool_dims_t *dims, const uint8_t *e,
                                    const kg_average_pool_quant_t *quant, const uint8_t *mask,
                                    uint8_t *dx) {
    int32_t in_plane = dims->in_height * dims->in_width;
    int32_t out_plane = dims->out_height * dims->out_width;
    int32_t largest = 0;
    for (int32_t i = 0; i < dims->channels; i++) {
        int32_t one = spread(dims, e + i * out_plane, quant,
                             mask == NULL ? NULL : mask + i * in_plane, dx + i * in_plane);
        largest = one > largest ? one : largest;
    }
    return largest;
}
