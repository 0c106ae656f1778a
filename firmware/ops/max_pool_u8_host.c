// SPDX-License-Identifier: Apache-2.0
// Max pooling in uint8 for the host: squares of two by two without a branch, all else as on a
// board.
#include "ops/error.h"
#include "ops/max_pool.h"

// Pools of 2x2 that touch, with all windows inside the map.
static int is_two_by_two(const kg_pool_dims_t *dims) {
    return dims->kernel_height == 2 && dims->kernel_width == 2 && dims->stride_height == 2 &&
           dims->stride_width == 2 && dims->pad_top == 0 && dims->pad_left == 0 &&
           2 * dims->out_height <= dims->in_height && 2 * dims->out_width <= dims->in_width;
}

// One row of outputs from two rows of x. Of equal elements the first wins.
static void pool_row(const uint8_t *restrict upper, const uint8_t *restrict lower, int32_t count,
                     uint8_t *restrict y, uint8_t *restrict argmax) {
    for (int32_t c = 0; c < count; c++) {
        uint8_t a = upper[2 * c], b = upper[2 * c + 1];
        uint8_t p = lower[2 * c], q = lower[2 * c + 1];
        uint8_t top = a > b ? a : b, bottom = p > q ? p : q;
        uint8_t in_top = (uint8_t)(b > a), in_bottom = (uint8_t)(2 + (q > p));
        y[c] = bottom > top ? bottom : top;
        argmax[c] = bottom > top ? in_bottom : in_top;
    }
}

void kg_max_pool_u8_forward_host(const kg_pool_dims_t *dims, const uint8_t *x, uint8_t *y,
                                 uint8_t *argmax) {
    if (!is_two_by_two(dims)) {
        kg_max_pool_u8_forward(dims, x, y, argmax);
        return;
    }
    for (int32_t i = 0; i < dims->channels; i++, x += dims->in_height * dims->in_width) {
        for (int32_t r = 0; r < dims->out_height; r++) {
            const uint8_t *upper = x + 2 * r * dims->in_width;
            pool_row(upper, upper + dims->in_width, dims->out_width, y, argmax);
            y += dims->out_width;
            argmax += dims->out_width;
        }
    }
}

static uint8_t error_of(uint8_t e, uint8_t winner, uint8_t tap) {
    return winner == tap ? e : KG_ERROR_ZERO;
}

// Two rows of dx, both of 2 * count elements, from one row of errors.
static void spread_row(const uint8_t *restrict e, const uint8_t *restrict argmax, int32_t count,
                       uint8_t *restrict upper, uint8_t *restrict lower) {
    for (int32_t c = 0; c < count; c++) {
        upper[2 * c] = error_of(e[c], argmax[c], 0);
        upper[2 * c + 1] = error_of(e[c], argmax[c], 1);
        lower[2 * c] = error_of(e[c], argmax[c], 2);
        lower[2 * c + 1] = error_of(e[c], argmax[c], 3);
    }
}

void kg_max_pool_u8_backward_host(const kg_pool_dims_t *dims, const uint8_t *e,
                                  const uint8_t *argmax, uint8_t *dx) {
    int32_t outputs = dims->channels * dims->out_height;
    if (!is_two_by_two(dims) || 2 * dims->out_height != dims->in_height ||
        2 * dims->out_width != dims->in_width) {
        kg_max_pool_u8_backward(dims, e, argmax, dx);
        return;
    }
    for (int32_t r = 0; r < outputs; r++, e += dims->out_width, argmax += dims->out_width) {
        uint8_t *upper = dx + 2 * r * dims->in_width;
        spread_row(e, argmax, dims->out_width, upper, upper + dims->in_width);
    }
}
