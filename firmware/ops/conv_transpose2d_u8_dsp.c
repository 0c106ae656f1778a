// SPDX-License-Identifier: Apache-2.0
// Forward pass of a transposed convolution in uint8 for cores with the DSP extension: the bits of
// conv_transpose2d_u8.c, by panel_dsp.h.
//
// Outputs that are a stride apart see the same taps, and inputs that are neighbours: all outputs of
// one such phase are a convolution with stride 1, of these taps only.
#include <string.h>

#include "ops/conv_transpose2d.h"
#include "ops/panel_dsp.h"

// The taps of a phase one way: first, first + stride ... and its first output.
typedef struct {
    int32_t first, count, output;
} phase_t;

typedef struct {
    const kg_conv_dims_t *dims;
    const kg_conv_quant_t *quant;
    kg_panel_t panel;
    phase_t rows, cols;
    int32_t columns;  // fan-in of a phase
    int32_t outputs;  // of a row
    bool whole;       // streams stay for the whole phase
    int32_t tile;
    uint32_t *lines, *streams;
    uint8_t *bytes;  // two lines before they are paired
} layer_t;

// Phase number `first`, counted from the start of the padding.
static phase_t phase_of(int32_t first, int32_t kernel, int32_t stride, int32_t pad) {
    phase_t phase = {first, first < kernel ? (kernel - first + stride - 1) / stride : 0, 0};
    phase.output = (first - pad % stride + stride) % stride;
    return phase;
}

// Outputs of a phase that has its first at `first`, of `size`.
static int32_t outputs_of(int32_t first, int32_t size, int32_t stride) {
    return first < size ? (size - first + stride - 1) / stride : 0;
}

// Plans phase (a, b) on the scratch, which may be NULL. Returns the bytes of scratch.
static size_t plan(const kg_conv_dims_t *dims, int32_t a, int32_t b, void *scratch,
                   layer_t *layer) {
    kg_panel_t *panel = &layer->panel;
    layer->dims = dims;
    layer->rows = phase_of(a, dims->kernel_height, dims->stride_height, dims->pad_top);
    layer->cols = phase_of(b, dims->kernel_width, dims->stride_width, dims->pad_left);
    layer->columns = dims->in_channels * layer->rows.count * layer->cols.count;
    layer->outputs = outputs_of(layer->cols.output, dims->out_width, dims->stride_width);
    panel->pairs = layer->columns == 0 ? 2 : kg_panel_round_up(layer->columns, 4) / 2;
    panel->stream = 2 + 2 * panel->pairs;
    panel->products = kg_panel_products_1;
    panel->pitch = panel->block = panel->pairs * KG_PANEL_POSITIONS;
    panel->plane = dims->out_height * dims->out_width;
    panel->step = dims->stride_width;
    int32_t all = (dims->out_channels + 1) / 2 * panel->stream;
    layer->whole = all * (int32_t)sizeof(uint32_t) <= KG_PANEL_SMALL_STREAMS;
    layer->tile = kg_panel_tile(layer->outputs, panel->pairs);
    int32_t line_words = panel->pairs * layer->tile;
    int32_t words = line_words + (layer->whole ? all : panel->stream);
    panel->lines = layer->lines = scratch;
    layer->streams = layer->lines + line_words;
    layer->bytes = (uint8_t *)(layer->lines + words);
    return (size_t)words * sizeof(uint32_t) + (size_t)(2 * layer->tile);
}

size_t kg_conv_transpose2d_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    size_t most = 0;
    layer_t layer;
    for (int32_t a = 0; a < dims->stride_height; a++) {
        for (int32_t b = 0; b < dims->stride_width; b++) {
            size_t bytes = plan(dims, a, b, NULL, &layer);
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}

// Makes the stream of channels o and o + 1; an odd last one goes twice.
static void make_stream(const layer_t *layer, const uint8_t *w, const int32_t *b, int32_t o,
                        uint32_t *stream) {
    const kg_conv_dims_t *dims = layer->dims;
    int32_t second = o + 1 < dims->out_channels ? o + 1 : o;
    const uint8_t *row_a = w + o * kg_conv_columns(dims);
    const uint8_t *row_b = w + second * kg_conv_columns(dims);
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t k = 0;
    stream[0] = (uint32_t)b[o];
    stream[1] = (uint32_t)b[second];
    memset(stream + 2, 0, (size_t)(2 * layer->panel.pairs) * sizeof *stream);
    for (int32_t i = 0; i < dims->in_channels; i++) {
        for (int32_t j = 0; j < layer->rows.count; j++) {
            int32_t u = layer->rows.first + j * dims->stride_height;
            int32_t at = i * taps + u * dims->kernel_width + layer->cols.first;
            for (int32_t l = 0; l < layer->cols.count; l++, k++, at += dims->stride_width) {
                int16_t *half = (int16_t *)(stream + 2 + k / 2 * 2) + k % 2;
                half[0] = (int16_t)(row_a[at] - layer->quant->w_zero);
                half[2] = (int16_t)(row_b[at] - layer->quant->w_zero);
            }
        }
    }
}

// The `count` inputs of a row from c on: where they lie, or copied to `to` with zero points around
// the row.
static const uint8_t *inputs(const layer_t *layer, const uint8_t *row, int32_t c, int32_t count,
                             uint8_t *to) {
    int32_t width = layer->dims->in_width;
    if (row != NULL && c >= 0 && c + count <= width) {
        return row + c;
    }
    kg_panel_copy(row, width, c, 1, count, (uint8_t)layer->quant->x_zero, to);
    return to;
}

// The lines of `count` outputs: input row r and column c are those under the first taps of the
// first. Where the fan-in ends before its pairs, the last inputs fill them.
static void lay_tile(const layer_t *layer, const uint8_t *x, int32_t r, int32_t c, int32_t count) {
    const kg_conv_dims_t *dims = layer->dims;
    int32_t zero = layer->quant->x_zero;
    uint32_t *line = layer->lines;
    const uint8_t *pair[2] = {layer->bytes, layer->bytes};
    int32_t k = 0;
    for (int32_t i = 0; i < dims->in_channels; i++, x += dims->in_height * dims->in_width) {
        for (int32_t h = r; h > r - layer->rows.count; h--) {
            const uint8_t *row = h >= 0 && h < dims->in_height ? x + h * dims->in_width : NULL;
            for (int32_t l = 0; l < layer->cols.count; l++, k++) {
                pair[k & 1] =
                    inputs(layer, row, c - l, count, layer->bytes + (k & 1) * layer->tile);
                if ((k & 1) != 0) {
                    kg_panel_line(pair[0], pair[1], count, zero, line, layer->panel.pitch);
                    line += KG_PANEL_POSITIONS;
                }
            }
        }
    }
    for (k /= 2; k < layer->panel.pairs; k++, line += KG_PANEL_POSITIONS) {
        kg_panel_line(pair[0], pair[1], count, zero, line, layer->panel.pitch);
    }
}

// All channels at `count` positions, whose lines stand ready; y starts at the first.
static void multiply(const layer_t *layer, const uint8_t *w, const int32_t *b, int32_t count,
                     uint8_t *y) {
    uint32_t *stream = layer->streams;
    for (int32_t o = 0; o < layer->dims->out_channels; o += 2, y += 2 * layer->panel.plane) {
        if (!layer->whole) {
            make_stream(layer, w, b, o, stream);
        }
        kg_panel_rows(&layer->panel, stream, o + 1 < layer->dims->out_channels, count, y);
        stream += layer->whole ? layer->panel.stream : 0;
    }
}

// All outputs of a phase.
static void forward_phase(const layer_t *layer, const uint8_t *x, const uint8_t *w,
                          const int32_t *b, uint8_t *y) {
    const kg_conv_dims_t *dims = layer->dims;
    int32_t first_c =
        (layer->cols.output + dims->pad_left - layer->cols.first) / dims->stride_width;
    for (int32_t o = 0; layer->whole && o < dims->out_channels; o += 2) {
        make_stream(layer, w, b, o, layer->streams + o / 2 * layer->panel.stream);
    }
    memset(layer->bytes, 0, (size_t)(2 * layer->tile));
    for (int32_t h = layer->rows.output; h < dims->out_height; h += dims->stride_height) {
        int32_t r = (h + dims->pad_top - layer->rows.first) / dims->stride_height;
        for (int32_t j = 0; j < layer->outputs; j += layer->tile) {
            int32_t left = layer->outputs - j;
            int32_t count = left < layer->tile ? left : layer->tile;
            int32_t k = layer->cols.output + j * dims->stride_width;
            lay_tile(layer, x, r, first_c + j, count);
            multiply(layer, w, b, count, y + h * dims->out_width + k);
        }
    }
}

void kg_conv_transpose2d_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x,
                                        const uint8_t *w, const int32_t *b,
                                        const kg_conv_quant_t *quant, uint8_t *y, void *scratch) {
    layer_t layer;
    layer.quant = quant;
    layer.panel.rounding = kg_rounding(quant->forward, quant->y_zero, quant->y_min, quant->y_max);
    for (int32_t first = 0; first < dims->stride_height; first++) {
        for (int32_t second = 0; second < dims->stride_width; second++) {
            (void)plan(dims, first, second, scratch, &layer);
            forward_phase(&layer, x, w, b, y);
        }
    }
}
