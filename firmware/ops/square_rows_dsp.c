// SPDX-License-Identifier: Apache-2.0
// Weight gradients of kernels of three by three: nine sums in registers, 22 instructions an error.
#include "ops/square_rows_dsp.h"

#include "ops/conv2d.h"
#include "ops/dsp.h"

#define NARROW 32  // the distances of rows that there are loops for
#define WIDE 64

int32_t kg_square_pitch(const kg_conv_dims_t *dims, int32_t width) {
    return !kg_conv_is_3x3(dims) || width > WIDE ? 0 : width > NARROW ? WIDE : NARROW;
}

static void fill(uint8_t *to, const uint8_t *end, uint32_t word) {
    for (; end - to >= 16; to += 16) {
        kg_store_word(to, word);
        kg_store_word(to + 4, word);
        kg_store_word(to + 8, word);
        kg_store_word(to + 12, word);
    }
}

// Whole words, of which the last may overlap the one before.
static void copy(uint8_t *to, const uint8_t *from, int32_t count) {
    const uint8_t *last = from + count - 4;
    if (count < 4) {
        for (int32_t i = 0; i < count; i++) {
            to[i] = from[i];
        }
        return;
    }
    uint8_t *last_to = to + count - 4;
    for (; from < last; to += 4, from += 4) {
        kg_store_word(to, kg_load_word(from));
    }
    kg_store_word(last_to, kg_load_word(last));
}

void kg_square_pad(const kg_conv_dims_t *dims, const uint8_t *x, int32_t zero, int32_t height,
                   int32_t pitch, uint8_t *maps) {
    int32_t rows = height - dims->pad_top;
    int32_t columns = pitch - dims->pad_left;
    rows = rows < dims->in_height ? rows : dims->in_height;
    columns = columns < dims->in_width ? columns : dims->in_width;
    for (int32_t i = 0; i < kg_conv_group_inputs(dims); i++) {
        fill(maps, maps + height * pitch, (uint32_t)zero * 0x01010101u);
        uint8_t *to = maps + dims->pad_top * pitch + dims->pad_left;
        for (int32_t h = 0; h < rows; h++, to += pitch) {
            copy(to, x + h * dims->in_width, columns);
        }
        x += dims->in_height * dims->in_width;
        maps += height * pitch;
    }
}

#ifdef __ARM_FEATURE_DSP

#define ADD(sum, at)                                                                               \
    "ldrb %[x], [%[at], #" at "]\n\t"                                                              \
    "smlabb %[" sum "], %[x], %[error], %[" sum "]\n\t"
#define ADD_ROW(sum0, sum1, sum2, row) ADD(sum0, row "+0") ADD(sum1, row "+1") ADD(sum2, row "+2")

// By hand, as it takes all fourteen registers.
#define DEFINE_DOT(name, second_row, third_row)                                                    \
    __attribute__((noinline)) static void name(const kg_tap_t *tap, const uint8_t *map,            \
                                               int32_t *sums) {                                    \
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0, sum4 = 0, sum5 = 0, sum6 = 0, sum7 = 0;    \
        int32_t sum8 = 0, at, error, x;                                                            \
        __asm__("1:\n\t"                                                                           \
                "ldrd %[at], %[error], [%[tap]], #8\n\t"                                           \
                "cbz %[error], 2f\n\t"                                                             \
                "add %[at], %[at], %[map]\n\t" ADD_ROW("sum0", "sum1", "sum2", "0")                \
                    ADD_ROW("sum3", "sum4", "sum5", second_row)                                    \
                        ADD_ROW("sum6", "sum7", "sum8", third_row) "b 1b\n"                        \
                                                                   "2:"                            \
                : [sum0] "+r"(sum0), [sum1] "+r"(sum1), [sum2] "+r"(sum2), [sum3] "+r"(sum3),      \
                  [sum4] "+r"(sum4), [sum5] "+r"(sum5), [sum6] "+r"(sum6), [sum7] "+r"(sum7),      \
                  [sum8] "+r"(sum8), [tap] "+r"(tap), [at] "=&r"(at), [error] "=&l"(error),        \
                  [x] "=&r"(x)                                                                     \
                : [map] "r"(map)                                                                   \
                : "memory");                                                                       \
        sums[0] += sum0;                                                                           \
        sums[1] += sum1;                                                                           \
        sums[2] += sum2;                                                                           \
        sums[3] += sum3;                                                                           \
        sums[4] += sum4;                                                                           \
        sums[5] += sum5;                                                                           \
        sums[6] += sum6;                                                                           \
        sums[7] += sum7;                                                                           \
        sums[8] += sum8;                                                                           \
    }
DEFINE_DOT(dot_narrow, "32", "64")
DEFINE_DOT(dot_wide, "64", "128")

#else

static void dot(const kg_tap_t *tap, const uint8_t *map, int32_t pitch, int32_t *sums) {
    for (; tap->value != 0; tap++) {
        const uint8_t *at = map + tap->offset;
        for (int32_t k = 0; k < 9; k++) {
            sums[k] += tap->value * at[k / 3 * pitch + k % 3];
        }
    }
}

static void dot_narrow(const kg_tap_t *tap, const uint8_t *map, int32_t *sums) {
    dot(tap, map, NARROW, sums);
}

static void dot_wide(const kg_tap_t *tap, const uint8_t *map, int32_t *sums) {
    dot(tap, map, WIDE, sums);
}

#endif

void kg_square_dot(const kg_tap_t *list, const uint8_t *map, int32_t pitch, int32_t *sums) {
    if (pitch == NARROW) {
        dot_narrow(list, map, sums);
    } else {
        dot_wide(list, map, sums);
    }
}
