// SPDX-License-Identifier: Apache-2.0
// Input gradient of a fully connected layer in uint8 for Cortex-M4 and M7: the bits of linear_u8.c.
//
// Many errors are listed by sign, as linear_errors_dsp.h wants them; a few, as sparse updates leave
// them, meet their weights in 16 bits, with less to do before and after.
#include "ops/error.h"
#include "ops/finish_dsp.h"
#include "ops/linear.h"
#include "ops/linear_errors_dsp.h"
#include "ops/pairs_dsp.h"

#define SUMS 64  // that are made before they are rounded together
#define FEW 24   // errors: the more products, the more SMLAL saves

size_t kg_linear_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    return SUMS * sizeof(int32_t) + (size_t)(dims->out_channels + 1) * sizeof(kg_tap_t);
}

// The errors of kept rows times their factors: those above zero from the start of scratch on, those
// below before its end.
static kg_linear_errors_t list_errors(const kg_conv_dims_t *dims, const uint8_t *e,
                                      const kg_kept_t *kept, kg_tap_t *taps) {
    kg_tap_t *above = taps;
    kg_tap_t *last = taps + dims->out_channels;
    kg_tap_t *below = last;
    int32_t total = 0;
    int32_t weight = 0;
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        int32_t value = (e[row.row] - KG_ERROR_ZERO) * row.factor;
        int32_t offset = row.row * dims->in_channels;
        total += value;
        if (value > 0) {
            *above++ = (kg_tap_t){offset, value};
            weight += value;
        } else if (value < 0) {
            *--below = (kg_tap_t){offset, -value};
            weight -= value;
        }
    }
    return (kg_linear_errors_t){{taps, above}, {below, last}, total, weight};
}

static bool is_few(const kg_linear_errors_t *errors) {
    int32_t count = (int32_t)(errors->above.end - errors->above.first +
                              (errors->below.end - errors->below.first));
    return count > 0 && count <= FEW;
}

// Sums of fewer than a word of inputs.
static void dot_rest(const kg_linear_errors_t *errors, const uint8_t *w, int32_t count,
                     int32_t base, int32_t *sums) {
    for (int32_t i = 0; i < count; i++) {
        sums[i] =
            kg_taps_dot_u8(errors->above, w + i) - kg_taps_dot_u8(errors->below, w + i) + base;
    }
}

// Few errors in one list, those above zero first. An odd number gets another one, which is zero.
static void join_lists(kg_linear_errors_t *errors, kg_tap_t *taps) {
    kg_tap_t *end = taps + (errors->above.end - taps);
    for (const kg_tap_t *tap = errors->below.first; tap < errors->below.end; tap++) {
        *end++ = (kg_tap_t){tap->offset, -tap->value};
    }
    if (((end - taps) & 1) != 0) {
        *end++ = (kg_tap_t){0, 0};
    }
    errors->above.end = end;
    errors->below.first = errors->below.end;
}

// sums[i] = base + sum over an even number of errors, at least two, of error * w[offset + i], for
// four inputs. Errors times their factors fit 16 bits.
#ifdef __ARM_FEATURE_DSP

#define ADD_FOUR(word, value)                                                                      \
    "uxtb16 %[even], " word "\n\t"                                                                 \
    "uxtb16 " word ", " word ", ror #8\n\t"                                                        \
    "smlabb %[sum0], %[even], " value ", %[sum0]\n\t"                                              \
    "smlabb %[sum1], " word ", " value ", %[sum1]\n\t"                                             \
    "smlatb %[sum2], %[even], " value ", %[sum2]\n\t"                                              \
    "smlatb %[sum3], " word ", " value ", %[sum3]\n\t"

static inline void dot_few(kg_tap_list_t list, const uint8_t *w, int32_t base, int32_t *sums) {
    int32_t sum0 = base, sum1 = base, sum2 = base, sum3 = base;
    uint32_t even;
    __asm__("1:\n\t"
            "ldm %[tap]!, {r0, r1, r2, r3}\n\t"
            "ldr r0, [%[w], r0]\n\t"
            "ldr r2, [%[w], r2]\n\t"  //
            ADD_FOUR("r0", "r1") ADD_FOUR("r2", "r3") "cmp %[tap], %[end]\n\t"
                                                      "bcc 1b"
            : [sum0] "+r"(sum0), [sum1] "+r"(sum1), [sum2] "+r"(sum2), [sum3] "+r"(sum3),
              [tap] "+r"(list.first), [even] "=&r"(even)
            : [end] "r"(list.end), [w] "r"(w)
            : "r0", "r1", "r2", "r3", "cc", "memory");
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

#else

static inline void dot_few(kg_tap_list_t list, const uint8_t *w, int32_t base, int32_t *sums) {
    for (int32_t i = 0; i < 4; i++) {
        sums[i] = base;
        for (const kg_tap_t *tap = list.first; tap < list.end; tap++) {
            sums[i] += tap->value * w[tap->offset + i];
        }
    }
}

#endif

// Sums of whole words of inputs, where a mask is open.
static void dot_words(const kg_linear_errors_t *errors, bool few, const uint8_t *w, int32_t base,
                      const uint8_t *mask, uint32_t zeros, int32_t *sums, int32_t count) {
    for (const int32_t *end = sums + count; sums < end; sums += 4, w += 4) {
        uint32_t open = kg_open_bytes(mask, zeros);
        mask = mask == NULL ? NULL : mask + 4;
        if (open == 0) {
            continue;
        }
        if (few) {
            dot_few(errors->above, w, base, sums);
        } else {
            kg_linear_errors_dot(errors, w, base, sums);
        }
    }
}

// dx[i] = clamp(128 + rq(sum_o (w[o,i] - z_w) (e[o] - 128) f[o]), 0, 255), 128 where mask[i] <= z_x
int32_t kg_linear_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch) {
    int32_t *sums = scratch;
    kg_tap_t *taps = (kg_tap_t *)(sums + SUMS);
    kg_linear_errors_t errors = list_errors(dims, e, kept, taps);
    bool few = is_few(&errors);
    if (few) {
        join_lists(&errors, taps);
    } else if (errors.weight > KG_PAIR_LIMIT) {
        return kg_linear_u8_input_gradient(dims, e, kept, w, quant, mask, dx, scratch);
    }
    kg_finish_t finish = {.rounding = kg_rounding(quant->backward, KG_ERROR_ZERO, 0, 255),
                          .fraction = kg_kept_fraction(kept),
                          .mask_zero = quant->x_zero};
    int32_t base = kg_kept_half(kept) - quant->w_zero * errors.total;
    uint32_t zeros = (uint32_t)quant->x_zero * 0x01010101u;
    int32_t largest = 0;
    for (int32_t left = dims->in_channels; left > 0; left -= SUMS, w += SUMS, dx += SUMS) {
        int32_t count = left < SUMS ? left : SUMS;
        int32_t words = count & ~3;
        dot_words(&errors, few, w, base, mask, zeros, sums, words);
        dot_rest(&errors, w + words, count - words, base, sums + words);
        largest = kg_finish_errors(&finish, sums, mask, count, dx, largest);
        mask = mask == NULL ? NULL : mask + SUMS;
    }
    return largest;
}
