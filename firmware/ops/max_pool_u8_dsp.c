// SPDX-License-Identifier: Apache-2.0
// Max pooling in uint8 for cores with the DSP extension: squares of two by two, two windows at a
// time; all else in plain C.
#include <stdbool.h>

#include "ops/dsp.h"
#include "ops/max_pool.h"

#define EVEN_BYTES 0x00ff00ffu
#define ODD_BYTES 0xff00ff00u
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
