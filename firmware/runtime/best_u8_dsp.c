// SPDX-License-Identifier: Apache-2.0
// Recipe "best" for uint8 layers on Cortex-M4 and M7: the bits of best_u8.c, one long
// multiplication for a product, its shift, its dither and the sum.
//
// With g above and the dither below in 64 bits, floor((sum + u) / 2^shift) is a carry: adding
// sum * 2^(32 - shift) leaves the new g above.
#include <stdbool.h>

#include "ops/dsp.h"
#include "runtime/dither.h"
#include "runtime/gradient.h"

#define SAMPLE_STREAM 0u  // as in best_u8.c
#define LONGEST_SHIFT 16  // of sums whose dither fits 16 bits
#define INPUT_SHIFT 7     // how far an input in 16 bits can be shifted

static uint32_t row_dither(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row) {
    uint32_t start =
        kg_dither_start(training->seed, p->matrix.stream + SAMPLE_STREAM, training->samples);
    return kg_dither_at(start, (uint32_t)(row * p->matrix.columns));
}

// saturate(g + floor((a * b + u) / 2^32))
static inline int16_t add_product(int16_t g, uint32_t u, int32_t a, int32_t b) {
    int64_t sum = (int64_t)((uint64_t)(uint32_t)g << 32 | u) + (int64_t)a * b;
    return kg_ssat_half((int32_t)(sum >> 32));
}

void kg_best_u8_add_row_dsp(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                            const int32_t *sums, int32_t fraction) {
    int32_t shift = p->state->g_shift + fraction;
    if (shift < 2) {  // 2^(32 - shift) would not fit
        kg_best_u8_add_row(p, training, row, sums, fraction);
        return;
    }
    int16_t *g = (int16_t *)p->g + (size_t)row * (size_t)p->matrix.columns;
    int32_t unit = (int32_t)(1u << (32 - shift));
    uint32_t u = row_dither(p, training, row);
    for (const int32_t *end = sums + p->matrix.columns; sums < end; g++) {
        *g = add_product(*g, u, *sums++, unit);
        u += KG_DITHER_STEP;
    }
}

// The product of an error and an input, 32 - shift bits up: e is shifted as far as it fits, x the
// rest.
typedef struct {
    int32_t e, x_shift;
} factors_t;

static factors_t factors_of(int32_t e, int32_t shift) {
    uint32_t size = (uint32_t)(e < 0 ? -e : e);
    int32_t up = 32 - shift;
    int32_t most = __builtin_clz(size) - 1;
    most = most < up ? most : up;
    return (factors_t){(int32_t)((uint32_t)e << most), up - most};
}

// add_words: whole words of inputs, at least one, whose zero point is 0, and g and x at addresses
// of words. An input times `unit` is e * x, 16 - shift + 16 bits up: 16 bits of the dither decide,
// and all fits 32 bits; the sum's upper half is what g gets. Four inputs that are 0 change nothing,
// and are skipped.
static bool fits_words(int32_t e, int32_t shift) {
    uint32_t size = (uint32_t)(e < 0 ? -e : e);
    return shift <= LONGEST_SHIFT && __builtin_clz(size) > LONGEST_SHIFT - shift + 16 - INPUT_SHIFT;
}

static int32_t unit_of(int32_t e, int32_t shift) {
    return (int32_t)((uint32_t)e << (LONGEST_SHIFT - shift + 16 - INPUT_SHIFT));
}

#ifdef __ARM_FEATURE_DSP

#define ADD_TWO(half, pair)                                                                        \
    "lsr %[first], %[u], #16\n\t"                                                                  \
    "add %[u], %[u], %[step]\n\t"                                                                  \
    "lsr %[second], %[u], #16\n\t"                                                                 \
    "add %[u], %[u], %[step]\n\t"                                                                  \
    "smlaw" half " %[first], %[unit], %[even], %[first]\n\t"                                       \
    "smlaw" half " %[second], %[unit], %[odd], %[second]\n\t"                                      \
    "pkhtb %[first], %[second], %[first], asr #16\n\t"                                             \
    "qadd16 " pair ", " pair ", %[first]\n\t"

// By hand, as compilers would load constants again and again.
static void add_words(int16_t *g, uint32_t u, int32_t unit, const uint8_t *x, int32_t words) {
    int32_t even, odd, first, second, pair0, pair1;
    __asm__ volatile(
        "1:\n\t"
        "ldr %[even], [%[x]], #4\n\t"
        "cbz %[even], 2f\n\t"
        "ldrd %[pair0], %[pair1], [%[g]]\n\t"
        "and %[odd], %[mask], %[even], lsr #1\n\t"
        "and %[even], %[mask], %[even], lsl #7\n\t"  //
        ADD_TWO("b", "%[pair0]") ADD_TWO("t", "%[pair1]") "strd %[pair0], %[pair1], [%[g]], #8\n\t"
                                                          "cmp %[g], %[end]\n\t"
                                                          "bcc 1b\n\t"
                                                          "b 3f\n"
                                                          "2:\n\t"
                                                          "add %[g], %[g], #8\n\t"
                                                          "add %[u], %[u], %[step], lsl #2\n\t"
                                                          "cmp %[g], %[end]\n\t"
                                                          "bcc 1b\n"
                                                          "3:"
        : [even] "=&l"(even), [odd] "=&r"(odd), [first] "=&r"(first), [second] "=&r"(second),
          [pair0] "=&r"(pair0), [pair1] "=&r"(pair1), [g] "+r"(g), [u] "+r"(u), [x] "+r"(x)
        : [unit] "r"(unit), [mask] "r"(0x00ff00ffu << INPUT_SHIFT), [step] "r"(KG_DITHER_STEP),
          [end] "r"(g + 4 * words)
        : "cc", "memory");
}

#else

static void add_words(int16_t *g, uint32_t u, int32_t unit, const uint8_t *x, int32_t words) {
    for (int32_t k = 0; k < 4 * words; k++, u += KG_DITHER_STEP) {
        int32_t input = x[k] << INPUT_SHIFT;
        int32_t sum = (int32_t)(u >> 16) + (int32_t)((int64_t)unit * input >> 16);
        g[k] = kg_ssat_half(g[k] + (sum >> 16));
    }
}

#endif

static inline int16_t add_byte(int16_t g, uint32_t u, factors_t factors, int32_t x) {
    return add_product(g, u, factors.e, (int32_t)((uint32_t)x << factors.x_shift));
}

// Any inputs, four at a time. An unknown step stays in a register: of a known one, compilers make
// long chains of constants.
static void add_bytes(int16_t *g, uint32_t u, factors_t factors, const uint8_t *x, int32_t count,
                      int32_t zero) {
    const uint8_t *end = x + count;
    uint32_t step = KG_DITHER_STEP;
    __asm__("" : "+r"(step));
    for (; end - x >= 4; x += 4, g += 4) {
        g[0] = add_byte(g[0], u, factors, x[0] - zero);
        g[1] = add_byte(g[1], u += step, factors, x[1] - zero);
        g[2] = add_byte(g[2], u += step, factors, x[2] - zero);
        g[3] = add_byte(g[3], u += step, factors, x[3] - zero);
        u += step;
    }
    for (; x < end; x++, g++) {
        *g = add_byte(*g, u, factors, *x - zero);
        u += step;
    }
}

void kg_best_u8_add_outer_dsp(const kg_parameter_u8_t *p, const kg_training_t *training,
                              int32_t row, const uint8_t *x, int32_t e, int32_t fraction) {
    int16_t *g = (int16_t *)p->g + (size_t)row * (size_t)p->matrix.columns;
    int32_t columns = p->matrix.columns;
    int32_t zero = p->quant->x_zero;
    uint32_t u = row_dither(p, training, row);
    int32_t shift = p->state->g_shift + fraction;
    int32_t k = 0;
    if (zero == 0 && columns >= 4 && fits_words(e, shift) &&
        (((uintptr_t)g | (uintptr_t)x) & 3) == 0) {
        add_words(g, u, unit_of(e, shift), x, columns / 4);
        k = columns & ~3;
        u += (uint32_t)k * KG_DITHER_STEP;
    }
    add_bytes(g + k, u, factors_of(e, shift), x + k, columns - k, zero);
}
