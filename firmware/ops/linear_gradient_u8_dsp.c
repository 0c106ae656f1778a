// SPDX-License-Identifier: Apache-2.0
// Input gradient of a fully connected layer in uint8 for Cortex-M4 and M7: the bits of linear_u8.c.
//
// Errors are listed by sign, as linear_errors_dsp.h wants them.
#include "ops/dsp.h"
#include "ops/error.h"
#include "ops/linear.h"
#include "ops/linear_errors_dsp.h"
#include "ops/pairs_dsp.h"
#include "ops/rounding_dsp.h"

#define ALL_BYTES 0xffffffffu
#define NO_ERRORS 0x80808080u  // four of them

size_t kg_linear_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_channels * sizeof(kg_tap_t);
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

// The sums of fewer.
static void dot_rest(const kg_linear_errors_t *errors, const uint8_t *w, int32_t count,
                     int32_t base, int32_t *sums) {
    for (int32_t i = 0; i < count; i++) {
        sums[i] =
            kg_taps_dot_u8(errors->above, w + i) - kg_taps_dot_u8(errors->below, w + i) + base;
    }
}

// Writes some errors, and the largest |sum| if one is larger.
static int32_t finish(const kg_rounding_t *rounding, const int32_t *sums, int32_t fraction,
                      const uint8_t *mask, int32_t zero, int32_t count, uint8_t *dx,
                      int32_t largest) {
    for (int32_t i = 0; i < count; i++) {
        uint8_t error = KG_ERROR_ZERO;
        if (mask == NULL || mask[i] > zero) {
            int32_t sum = sums[i] >> fraction;
            largest = kg_largest(largest, sum);
            if (rounding->fast) {
                sum = kg_smmla(sum, rounding->multiplier, rounding->offset) >> rounding->shift;
                error = (uint8_t)kg_clamp(sum, 0, 255);
            } else {
                error = kg_error(sum, rounding->factor);
            }
        }
        dx[i] = error;
    }
    return largest;
}

// Fast rounding, in registers.
typedef struct {
    int32_t multiplier, offset, shift;
    int32_t fraction;
    int32_t largest;
} fast_t;

static inline uint8_t finish_one(fast_t *fast, int32_t sum, uint32_t open) {
    int32_t error = KG_ERROR_ZERO;
    if (open != 0) {
        sum >>= fast->fraction;
        fast->largest = kg_largest(fast->largest, sum);
        error = kg_smmla(sum, fast->multiplier, fast->offset) >> fast->shift;
        error = kg_clamp(error, 0, 255);
    }
    return (uint8_t)error;
}

// The same for four inputs with fast rounding, of which those count whose byte of `open` is not 0.
// Not inlined: what surrounds it would spill its registers.
__attribute__((noinline)) static int32_t finish_four(const kg_rounding_t *rounding,
                                                     const int32_t *sums, int32_t fraction,
                                                     uint32_t open, uint8_t *dx, int32_t largest) {
    fast_t fast = {rounding->multiplier, rounding->offset, rounding->shift, fraction, largest};
    dx[0] = finish_one(&fast, sums[0], open & 0xffu);
    dx[1] = finish_one(&fast, sums[1], open & 0xff00u);
    dx[2] = finish_one(&fast, sums[2], open & 0xff0000u);
    dx[3] = finish_one(&fast, sums[3], open & 0xff000000u);
    return fast.largest;
}

// dx[i] = clamp(128 + rq(sum_o (w[o,i] - z_w) (e[o] - 128) f[o]), 0, 255), 128 where mask[i] <= z_x
int32_t kg_linear_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch) {
    kg_linear_errors_t errors = list_errors(dims, e, kept, scratch);
    if (errors.weight > KG_PAIR_LIMIT) {
        return kg_linear_u8_input_gradient(dims, e, kept, w, quant, mask, dx, scratch);
    }
    kg_rounding_t rounding = kg_rounding(quant->backward, KG_ERROR_ZERO, 0, 255);
    int32_t base = kg_kept_half(kept) - quant->w_zero * errors.total;
    int32_t fraction = kg_kept_fraction(kept);
    int32_t zero = quant->x_zero;
    uint32_t zeros = (uint32_t)zero * 0x01010101u;
    int32_t largest = 0;
    int32_t sums[4] = {0};
    int32_t left = dims->in_channels;
    for (; left >= 4; left -= 4, w += 4, dx += 4) {
        // a byte is not 0 where the mask is above its zero point
        uint32_t open = mask == NULL ? ALL_BYTES : kg_uqsub8(kg_load_word(mask), zeros);
        if (open == 0) {
            kg_store_word(dx, NO_ERRORS);
        } else {
            kg_linear_errors_dot(&errors, w, base, sums);
            largest = rounding.fast ? finish_four(&rounding, sums, fraction, open, dx, largest)
                                    : finish(&rounding, sums, fraction, mask, zero, 4, dx, largest);
        }
        mask = mask == NULL ? NULL : mask + 4;
    }
    dot_rest(&errors, w, left, base, sums);
    return finish(&rounding, sums, fraction, mask, zero, left, dx, largest);
}
