// SPDX-License-Identifier: Apache-2.0
// Forward pass of a depthwise convolution in uint8 for cores with the DSP extension: the bits of
// depthwise_u8.c.
//
// A band of rows of one map lies in scratch as 16-bit numbers less the zero point, padding
// included: the sums have no borders. Taps go in pairs, outputs in fours; a last output of a row
// that has no neighbours is computed with what lies behind.
#include <string.h>

#include "ops/depthwise.h"
#include "ops/depthwise_3x3_dsp.h"
#include "ops/dsp.h"
#include "ops/rounding_dsp.h"

#define OUTPUTS 4
#define BAND_BYTES 3072  // unless one row of outputs needs more

typedef struct {
    const kg_conv_dims_t *dims;
    int32_t w_zero, x_zero;
    kg_rounding_t rounding;
    bool threes;          // three by three taps, each row in two words: (0, 1), (1, 2)
    int32_t pairs;        // words of weights for one row of taps
    int32_t pitch, rows;  // of the band, in numbers
    int32_t outputs;      // rows of outputs that a band serves
    uint32_t *weights;    // those of `channel` where there are three by three
    kg_depthwise_3x3_t *channel;
    int16_t *band;
} layer_t;

static int32_t band_rows(const kg_conv_dims_t *dims, int32_t outputs) {
    return (outputs - 1) * dims->stride_height + dims->kernel_height;
}

// Plans a layer on the scratch, which may be NULL. Returns the bytes of scratch.
static size_t plan(const kg_conv_dims_t *dims, void *scratch, layer_t *layer) {
    int32_t last = (dims->out_width + OUTPUTS - 1) / OUTPUTS * OUTPUTS - 1;
    layer->dims = dims;
    layer->threes = kg_conv_is_3x3(dims) && dims->stride_width <= 2;
    layer->pairs = (dims->kernel_width + 1) / 2;
    layer->pitch = (last * dims->stride_width + 2 * layer->pairs + 1) / 2 * 2;
    layer->outputs = 1;
    while (layer->outputs < dims->out_height &&
           2 * layer->pitch * band_rows(dims, layer->outputs + 1) <= BAND_BYTES) {
        layer->outputs++;
    }
    layer->rows = band_rows(dims, layer->outputs);
    int32_t words = dims->kernel_height * layer->pairs;
    words = layer->threes ? (int32_t)(sizeof *layer->channel / sizeof(uint32_t)) : words;
    layer->channel = scratch;
    layer->weights = scratch;
    layer->band = (int16_t *)(layer->weights + words);
    return (size_t)words * sizeof(uint32_t) +
           (size_t)(layer->pitch * layer->rows) * sizeof(int16_t);
}

size_t kg_depthwise_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    layer_t layer;
    return plan(dims, NULL, &layer);
}

// Taps (v, v + 1) of one channel for even v, row by row, unless they overlap.
static void pair_weights(const layer_t *layer, const uint8_t *w) {
    int32_t width = layer->dims->kernel_width;
    uint32_t *pair = layer->weights;
    for (int32_t u = 0; u < layer->dims->kernel_height; u++, w += width) {
        for (int32_t t = 0; t < layer->pairs; t++, pair++) {
            int32_t v = layer->threes ? t : 2 * t;
            *pair = kg_halves(w[v] - layer->w_zero, v + 1 < width ? w[v + 1] - layer->w_zero : 0);
        }
    }
}

static void spread_row(const uint8_t *x, int32_t count, int32_t zero, int16_t *to) {
    uint32_t minus_zero = kg_halves(-zero, -zero);
    for (; count >= 4; count -= 4, x += 4, to += 4) {
        uint32_t four = kg_load_word(x);
        uint32_t even = kg_uxtab16(minus_zero, four);
        uint32_t odd = kg_uxtab16_ror8(minus_zero, four);
        kg_store_word(to, kg_pkhbb(even, odd));
        kg_store_word(to + 2, kg_pkhtt(even, odd));
    }
    for (int32_t j = 0; j < count; j++) {
        to[j] = (int16_t)(x[j] - zero);
    }
}

// The rows under the outputs from row r on; columns in the padding are zero already.
static void fill_band(const layer_t *layer, const uint8_t *x, int32_t r) {
    const kg_conv_dims_t *dims = layer->dims;
    int32_t room = layer->pitch - dims->pad_left;
    int32_t count = dims->in_width < room ? dims->in_width : room;
    int16_t *to = layer->band + dims->pad_left;
    int32_t h = r * dims->stride_height - dims->pad_top;
    for (int32_t row = 0; row < layer->rows; row++, h++, to += layer->pitch) {
        if (h >= 0 && h < dims->in_height) {
            spread_row(x + h * dims->in_width, count, layer->x_zero, to);
        } else {
            memset(to, 0, (size_t)count * sizeof *to);
        }
    }
}

// Computes one row of outputs.
typedef void forward_t(const layer_t *layer, const int16_t *from, int32_t b, uint8_t *y);

// Adds three taps of one row to four outputs side by side.
static inline void add_three(const int16_t *from, const uint32_t *w, int32_t *sums) {
    for (int32_t j = 0; j < OUTPUTS; j++) {
        sums[j] = kg_smlad(kg_load_word(from + j), w[0], sums[j]);
        sums[j] = kg_smlabt(kg_load_word(from + j + 2), w[1], sums[j]);
    }
}

// The same at a stride of two, in few instructions.
static inline void add_three_by_2(const int16_t *from, const uint32_t *w, int32_t *sums) {
    uint32_t first = kg_load_word(from);
    uint32_t second = kg_load_word(from + 2);
    sums[0] = kg_smlabt(second, w[1], kg_smlad(first, w[0], sums[0]));
    first = kg_load_word(from + 4);
    sums[1] = kg_smlabt(first, w[1], kg_smlad(second, w[0], sums[1]));
    second = kg_load_word(from + 6);
    sums[2] = kg_smlabt(second, w[1], kg_smlad(first, w[0], sums[2]));
    first = kg_load_word(from + 8);
    sums[3] = kg_smlabt(first, w[1], kg_smlad(second, w[0], sums[3]));
}

// One row of outputs from three rows of three taps; `from` is the first row under it.
static void forward_3x3(const layer_t *layer, const int16_t *from, int32_t b, uint8_t *y) {
    const uint32_t *w = layer->weights;
    int32_t pitch = layer->pitch;
    for (int32_t left = layer->dims->out_width; left > 0; left -= OUTPUTS, y += OUTPUTS) {
        int32_t sums[OUTPUTS] = {b, b, b, b};
        add_three(from, w, sums);
        add_three(from + pitch, w + 2, sums);
        add_three(from + 2 * pitch, w + 4, sums);
        kg_round_few(&layer->rounding, sums, left < OUTPUTS ? left : OUTPUTS, y);
        from += OUTPUTS;
    }
}

static void forward_3x3_by_2(const layer_t *layer, const int16_t *from, int32_t b, uint8_t *y) {
    const uint32_t *w = layer->weights;
    int32_t pitch = layer->pitch;
    for (int32_t left = layer->dims->out_width; left > 0; left -= OUTPUTS, y += OUTPUTS) {
        int32_t sums[OUTPUTS] = {b, b, b, b};
        add_three_by_2(from, w, sums);
        add_three_by_2(from + pitch, w + 2, sums);
        add_three_by_2(from + 2 * pitch, w + 4, sums);
        kg_round_four(&layer->rounding, sums[0], sums[1], sums[2], sums[3],
                      left < OUTPUTS ? left : OUTPUTS, y);
        from += 2 * OUTPUTS;
    }
}

// Adds all taps to four outputs side by side.
static inline void add_taps(const layer_t *layer, const int16_t *from, int32_t *sums) {
    const uint32_t *w = layer->weights;
    int32_t step = layer->dims->stride_width;
    for (int32_t u = 0; u < layer->dims->kernel_height; u++, from += layer->pitch) {
        const int16_t *at = from;
        for (const uint32_t *end = w + layer->pairs; w < end; w++, at += 2) {
            sums[0] = kg_smlad(kg_load_word(at), *w, sums[0]);
            sums[1] = kg_smlad(kg_load_word(at + step), *w, sums[1]);
            sums[2] = kg_smlad(kg_load_word(at + 2 * step), *w, sums[2]);
            sums[3] = kg_smlad(kg_load_word(at + 3 * step), *w, sums[3]);
        }
    }
}

// One row of outputs; `from` is the first row under it.
static void forward_row(const layer_t *layer, const int16_t *from, int32_t b, uint8_t *y) {
    int32_t step = OUTPUTS * layer->dims->stride_width;
    for (int32_t left = layer->dims->out_width; left > 0; left -= OUTPUTS, y += OUTPUTS) {
        int32_t sums[OUTPUTS] = {b, b, b, b};
        add_taps(layer, from, sums);
        kg_round_four(&layer->rounding, sums[0], sums[1], sums[2], sums[3],
                      left < OUTPUTS ? left : OUTPUTS, y);
        from += step;
    }
}

// All rows of one channel. Fast blocks may write behind a row where later rows come, up to y_end.
static void forward_channel(const layer_t *layer, const uint8_t *x, int32_t b, forward_t *forward,
                            uint8_t *y, const uint8_t *y_end) {
    const kg_conv_dims_t *dims = layer->dims;
    int32_t pitch = layer->pitch * (int32_t)sizeof *layer->band;
    int32_t blocks = (dims->out_width + OUTPUTS - 1) / OUTPUTS;
    bool fast = forward == forward_3x3 && layer->rounding.fast;
    const int16_t *from = layer->band;
    int32_t in_band = 0;
    for (int32_t r = 0; r < dims->out_height; r++, y += dims->out_width) {
        if (in_band == 0) {
            fill_band(layer, x, r);
            from = layer->band;
            in_band = layer->outputs;
        }
        if (fast && y_end - y >= OUTPUTS * blocks) {
            kg_depthwise_3x3_blocks(from, pitch, layer->channel, y, blocks);
        } else {
            forward(layer, from, b, y);
        }
        from += dims->stride_height * layer->pitch;
        in_band--;
    }
}

void kg_depthwise_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                 const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                 void *scratch) {
    layer_t layer;
    int32_t plane = dims->out_height * dims->out_width;
    const uint8_t *y_end = y + dims->groups * plane;
    (void)plan(dims, scratch, &layer);
    layer.x_zero = quant->x_zero;
    layer.w_zero = quant->w_zero;
    layer.rounding = kg_rounding(quant->forward, quant->y_zero, quant->y_min, quant->y_max);
    memset(layer.band, 0, (size_t)(layer.pitch * layer.rows) * sizeof *layer.band);
    forward_t *forward = !layer.threes             ? forward_row
                         : dims->stride_width == 1 ? forward_3x3
                                                   : forward_3x3_by_2;
    for (int32_t i = 0; i < dims->groups; i++, y += plane) {
        pair_weights(&layer, w);
        if (layer.threes) {
            layer.channel->bias = b[i];
            layer.channel->multiplier = layer.rounding.multiplier;
            layer.channel->offset = layer.rounding.offset;
            layer.channel->shift = layer.rounding.shift;
        }
        forward_channel(&layer, x, b[i], forward, y, y_end);
        w += kg_conv_columns(dims);
        x += dims->in_height * dims->in_width;
    }
}
