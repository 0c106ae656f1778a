// SPDX-License-Identifier: Apache-2.0
// Max pooling in uint8 for cores with the DSP extension: squares of two by two, two windows at a
// time; all else in plain C.
#include <stdbool.h>
#include <string.h>

#include "ops/dsp.h"
#include "ops/error.h"
#include "ops/max_pool.h"

#define EVEN_BYTES 0x00ff00ffu
#define ODD_BYTES 0xff00ff00u
#define NO_ERRORS 0x80808080u                  // four of them
#define TAPS(number) ((number) * 0x00010001u)  // in both halves

// Pools of 2x2 that touch, with all windows inside the map.
static bool is_two_by_two(const kg_pool_dims_t *dims) {
    return dims->kernel_height == 2 && dims->kernel_width == 2 && dims->stride_height == 2 &&
           dims->stride_width == 2 && dims->pad_top == 0 && dims->pad_left == 0 &&
           2 * dims->out_height <= dims->in_height && 2 * dims->out_width <= dims->in_width;
}

// The winners of two windows: their elements in the odd bytes, their taps in the even ones. A key
// is an element above three less its tap, so that of equal elements the first is the largest.
static inline uint32_t find_two(uint32_t upper, uint32_t lower) {
    uint32_t first = kg_umax16((upper << 8 & ODD_BYTES) | TAPS(3u), (upper & ODD_BYTES) | TAPS(2u));
    uint32_t second = kg_umax16((lower << 8 & ODD_BYTES) | TAPS(1u), lower & ODD_BYTES);
    return kg_umax16(first, second) ^ TAPS(3u);
}

// One row of outputs from two rows of x.
static void pool_row(const uint8_t *upper, const uint8_t *lower, int32_t count, uint8_t *y,
                     uint8_t *argmax) {
    for (; count >= 4; count -= 4, upper += 8, lower += 8, y += 4, argmax += 4) {
        uint32_t left = find_two(kg_load_word(upper), kg_load_word(lower));
        uint32_t right = find_two(kg_load_word(upper + 4), kg_load_word(lower + 4));
        // (window 0, 2) and (1, 3) as halves: what lies beside one another in the results
        uint32_t even = kg_pkhbb(left, right);
        uint32_t odd = kg_pkhtt(left, right);
        kg_store_word(argmax, (even & EVEN_BYTES) | (odd & EVEN_BYTES) << 8);
        kg_store_word(y, (even >> 8 & EVEN_BYTES) | (odd & ODD_BYTES));
    }
    for (; count > 0; count--, upper += 2, lower += 2) {
        uint32_t winner = find_two(kg_load_half(upper), kg_load_half(lower));
        *y++ = (uint8_t)(winner >> 8);
        *argmax++ = (uint8_t)winner;
    }
}

void kg_max_pool_u8_forward_dsp(const kg_pool_dims_t *dims, const uint8_t *x, uint8_t *y,
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

// The errors of a window's four elements: the upper row in the bottom half. Both arguments are
// bytes 0; error: less its zero, which is the same as exclusive or.
static inline uint32_t spread(uint32_t error, uint32_t tap) {
    return (error & 0xffu) << ((tap & 0xffu) * 8);
}

static inline void store_two(uint32_t first, uint32_t second, uint8_t *upper, uint8_t *lower) {
    kg_store_word(upper, kg_pkhbb(first, second) ^ NO_ERRORS);
    kg_store_word(lower, kg_pkhtt(first, second) ^ NO_ERRORS);
}

// Two rows of dx from one row of errors.
static void spread_row(const uint8_t *e, const uint8_t *argmax, int32_t count, uint8_t *upper,
                       uint8_t *lower) {
    for (; count >= 4; count -= 4, e += 4, argmax += 4, upper += 8, lower += 8) {
        uint32_t errors = kg_load_word(e) ^ NO_ERRORS;
        uint32_t taps = kg_load_word(argmax);
        if (errors == 0) {
            store_two(0, 0, upper, lower);
            store_two(0, 0, upper + 4, lower + 4);
            continue;
        }
        store_two(spread(errors, taps), spread(errors >> 8, taps >> 8), upper, lower);
        store_two(spread(errors >> 16, taps >> 16), spread(errors >> 24, taps >> 24), upper + 4,
                  lower + 4);
    }
    for (; count > 0; count--, upper += 2, lower += 2) {
        uint32_t window = spread(*e++ ^ (uint32_t)KG_ERROR_ZERO, *argmax++) ^ NO_ERRORS;
        kg_store_half(upper, window);
        kg_store_half(lower, window >> 16);
    }
}

void kg_max_pool_u8_backward_dsp(const kg_pool_dims_t *dims, const uint8_t *e,
                                 const uint8_t *argmax, uint8_t *dx) {
    int32_t plane = dims->in_height * dims->in_width;
    if (!is_two_by_two(dims)) {
        kg_max_pool_u8_backward(dims, e, argmax, dx);
        return;
    }
    if (4 * dims->out_height * dims->out_width < plane) {  // a row or column is in no window
        memset(dx, KG_ERROR_ZERO, (size_t)(dims->channels * plane));
    }
    for (int32_t i = 0; i < dims->channels; i++, dx += plane) {
        for (int32_t r = 0; r < dims->out_height; r++) {
            uint8_t *upper = dx + 2 * r * dims->in_width;
            spread_row(e, argmax, dims->out_width, upper, upper + dims->in_width);
            e += dims->out_width;
            argmax += dims->out_width;
        }
    }
}
