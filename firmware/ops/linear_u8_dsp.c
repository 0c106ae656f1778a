// SPDX-License-Identifier: Apache-2.0
// Forward pass of a fully connected layer in uint8 for cores with the DSP extension: the bits of
// linear_u8.c.
#include "ops/dsp.h"
#include "ops/linear.h"
#include "ops/linear_rows_dsp.h"
#include "ops/rounding_dsp.h"

#define ROWS 4

// The inputs less their zero point: those that go in steps in scratch, the rest where they lie.
typedef struct {
    const uint32_t *words, *words_end;
    const uint8_t *rest;
    int32_t columns, stepped, zero;
    int32_t excess;  // z_w sum_i (x[i] - z_x), what products with uncentred weights have too much
} inputs_t;

static int32_t stepped(const kg_conv_dims_t *dims) {
    return dims->in_channels - dims->in_channels % KG_LINEAR_STEP;
}

size_t kg_linear_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)stepped(dims) * sizeof(int16_t);
}

static inputs_t spread_inputs(const kg_conv_dims_t *dims, const uint8_t *x,
                              const kg_conv_quant_t *quant, uint32_t *words) {
    inputs_t inputs = {.words = words, .columns = dims->in_channels, .zero = quant->x_zero};
    uint32_t minus_zero = kg_halves(-quant->x_zero, -quant->x_zero);
    const uint8_t *end = x + inputs.columns;
    uint32_t total = 0;
    inputs.stepped = stepped(dims);
    for (inputs.rest = x + inputs.stepped; x < inputs.rest; x += 4, words += 2) {
        uint32_t four = kg_load_word(x);
        total = kg_add_bytes(four, total);
        words[0] = kg_uxtab16(minus_zero, four);
        words[1] = kg_uxtab16_ror8(minus_zero, four);
    }
    inputs.words_end = words;
    for (; x < end; x++) {
        total += *x;
    }
    inputs.excess = quant->w_zero * ((int32_t)total - inputs.columns * quant->x_zero);
    return inputs;
}

// sum_i w[i] (x[i] - z_x) over the inputs that no step holds.
static inline int32_t dot_rest(const inputs_t *inputs, const uint8_t *w) {
    int32_t sum = 0;
    for (int32_t i = inputs->stepped; i < inputs->columns; i++) {
        sum += w[i] * (inputs->rest[i - inputs->stepped] - inputs->zero);
    }
    return sum;
}

static int32_t dot(const inputs_t *inputs, const uint8_t *w) {
    int32_t sum = dot_rest(inputs, w);
    for (const uint32_t *x = inputs->words; x < inputs->words_end; x += 2, w += 4) {
        uint32_t weights = kg_load_word(w);
        sum = kg_smlad(kg_uxtb16(weights), x[0], sum);
        sum = kg_smlad(kg_uxtb16_ror8(weights), x[1], sum);
    }
    return sum;
}

void kg_linear_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch) {
    inputs_t inputs = spread_inputs(dims, x, quant, scratch);
    kg_rounding_t rounding = kg_rounding(quant->forward, quant->y_zero, quant->y_min, quant->y_max);
    int32_t o = 0;
    for (; o + ROWS <= dims->out_channels && inputs.stepped > 0; o += ROWS) {
        int32_t sums[ROWS];
        for (int32_t j = 0; j < ROWS; j++) {
            sums[j] = b[o + j] - inputs.excess + dot_rest(&inputs, w + j * inputs.columns);
        }
        kg_linear_rows(inputs.words, inputs.words_end, w, inputs.columns, sums);
        kg_round_four(&rounding, sums[0], sums[1], sums[2], sums[3], ROWS, y + o);
        w += ROWS * inputs.columns;
    }
    for (; o < dims->out_channels; o++, w += inputs.columns) {
        int32_t sum = b[o] - inputs.excess + dot(&inputs, w);
        kg_round_few(&rounding, &sum, 1, y + o);
    }
}
