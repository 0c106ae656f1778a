// SPDX-License-Identifier: Apache-2.0
// Forward pass of a 2-D convolution in uint8 for cores with the DSP extension: the bits of
// conv2d_u8.c, by panel_dsp.h.
//
// Usual windows share the lines of one output row, one per (input channel, row of the window). All
// others have a line for each element of the window, over a tile of the output plane. Streams of
// weights stay for the whole layer where they are small, else every row or tile makes them anew.
#include <stdbool.h>
#include <string.h>

#include "ops/conv2d.h"
#include "ops/depthwise.h"
#include "ops/panel_dsp.h"
#include "ops/rounding_dsp.h"

// How a layer is computed.
typedef struct {
    kg_conv_dims_t dims;  // a plane is one row where windows are single elements
    const kg_conv_quant_t *quant;
    kg_panel_t panel;
    int32_t outs, columns;  // of a group; the fan-in
    bool shared, whole;     // taps share lines; streams stay for the whole layer
    int32_t tile;           // positions that the lines cover
    uint32_t *lines, *streams;
    uint8_t *bytes;  // two lines before they are paired, or one of zero points
} layer_t;

static bool is_pointwise(const kg_conv_dims_t *dims) {
    return dims->kernel_height == 1 && dims->kernel_width == 1 && dims->stride_height == 1 &&
           dims->stride_width == 1 && dims->in_height == dims->out_height &&
           dims->in_width == dims->out_width;
}

// The products of windows that share lines, or NULL. At most a quarter of the positions that are
// computed may lie behind the end of a row.
static kg_panel_products_t *shared_products(const kg_conv_dims_t *dims) {
    int32_t width = dims->kernel_width;
    if (4 * kg_panel_round_up(dims->out_width, KG_PANEL_POSITIONS) > 5 * dims->out_width) {
        return NULL;
    }
    if (dims->stride_width == 1) {
        return width == 3 ? kg_panel_products_3 : width == 5 ? kg_panel_products_5 : NULL;
    }
    return width == 3 && dims->stride_width == 2 ? kg_panel_products_3_by_2 : NULL;
}

// Sizes of the lines that windows share. Returns their words.
static int32_t plan_rows(layer_t *layer) {
    kg_panel_t *panel = &layer->panel;
    const kg_conv_dims_t *dims = &layer->dims;
    int32_t lines = (layer->columns / dims->kernel_width + 1) / 2;
    layer->tile = kg_panel_round_up(dims->out_width, KG_PANEL_POSITIONS);
    panel->block = KG_PANEL_POSITIONS * dims->stride_width;
    panel->pitch = (layer->tile - 1) * dims->stride_width + dims->kernel_width;
    panel->pairs = dims->kernel_width * lines;
    return lines * panel->pitch;
}

// Sizes of the lines of a tile. Returns their words.
static int32_t plan_tile(layer_t *layer) {
    layer->panel.pairs = kg_panel_round_up(layer->columns, 4) / 2;
    layer->tile = kg_panel_tile(layer->panel.plane, layer->panel.pairs);
    layer->panel.products = kg_panel_products_1;
    layer->panel.pitch = layer->panel.block = layer->panel.pairs * KG_PANEL_POSITIONS;
    return layer->panel.pairs * layer->tile;
}

// Plans a layer on the scratch, which may be NULL. Returns the bytes of scratch.
static size_t plan(const kg_conv_dims_t *dims, void *scratch, layer_t *layer) {
    kg_panel_t *panel = &layer->panel;
    layer->dims = *dims;
    layer->outs = kg_conv_group_outputs(dims);
    layer->columns = kg_conv_columns(dims);
    panel->plane = dims->out_height * dims->out_width;
    panel->products = shared_products(dims);
    layer->shared = panel->products != NULL;
    panel->step = 1;
    if (is_pointwise(dims)) {
        layer->dims.in_height = layer->dims.out_height = 1;
        layer->dims.in_width = layer->dims.out_width = panel->plane;
    }
    int32_t line_words = layer->shared ? plan_rows(layer) : plan_tile(layer);
    panel->stream = 2 + 2 * panel->pairs;
    int32_t all = (layer->outs + 1) / 2 * panel->stream;
    layer->whole = all * (int32_t)sizeof(uint32_t) <= KG_PANEL_SMALL_STREAMS;
    int32_t words = line_words + (layer->whole ? all : panel->stream);
    panel->lines = layer->lines = scratch;
    layer->streams = layer->lines + line_words;
    layer->bytes = (uint8_t *)(layer->lines + words);
    int32_t bytes = layer->shared ? dims->in_width : 2 * layer->tile;
    bytes = bytes < KG_PANEL_AHEAD ? KG_PANEL_AHEAD : bytes;
    return (size_t)words * sizeof(uint32_t) + (size_t)bytes;
}

size_t kg_conv2d_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    layer_t layer;
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_forward_dsp_scratch_bytes(dims);
    }
    return plan(dims, NULL, &layer);
}

// Makes the stream of channels o and o + 1; an odd last one goes twice.
static void make_stream(const layer_t *layer, const uint8_t *w, const int32_t *b, int32_t o,
                        uint32_t *stream) {
    int32_t second = o + 1 < layer->outs ? o + 1 : o;
    const uint8_t *row_a = w + o * layer->columns;
    const uint8_t *row_b = w + second * layer->columns;
    uint32_t *end = stream + layer->panel.stream;
    *stream++ = (uint32_t)b[o];
    *stream++ = (uint32_t)b[second];
    if (layer->shared) {
        (void)kg_panel_weights_across(row_a, row_b, layer->dims.kernel_width, layer->columns,
                                      layer->quant->w_zero, stream);
        return;
    }
    stream = kg_panel_weights(row_a, row_b, layer->columns, layer->quant->w_zero, stream);
    while (stream < end) {
        *stream++ = 0;
    }
}

// All channels at `count` positions, whose lines stand ready; y starts at the first.
static void multiply(const layer_t *layer, const uint8_t *w, const int32_t *b, int32_t count,
                     uint8_t *y) {
    uint32_t *stream = layer->streams;
    for (int32_t o = 0; o < layer->outs; o += 2, y += 2 * layer->panel.plane) {
        if (!layer->whole) {
            make_stream(layer, w, b, o, stream);
        }
        kg_panel_rows(&layer->panel, stream, o + 1 < layer->outs, count, y);
        stream += layer->whole ? layer->panel.stream : 0;
    }
}

// --- shared lines --------------------------------------------------------------------------------

// The lines of output row r. Words in the padding stay zero, rows in the padding are zero points.
static void lay_rows(const layer_t *layer, const uint8_t *x, int32_t r) {
    const kg_conv_dims_t *dims = &layer->dims;
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t room = layer->panel.pitch - dims->pad_left;
    int32_t width = dims->in_width < room ? dims->in_width : room;
    uint32_t *line = layer->lines + dims->pad_left;
    const uint8_t *row = layer->bytes;
    int32_t number = 0;
    for (int32_t i = 0; i < kg_conv_group_inputs(dims);
         i++, x += dims->in_height * dims->in_width) {
        for (int32_t u = top; u < top + dims->kernel_height; u++, number++) {
            const uint8_t *next =
                u >= 0 && u < dims->in_height ? x + u * dims->in_width : layer->bytes;
            if ((number & 1) != 0) {
                kg_panel_line(row, next, width, layer->quant->x_zero, line, KG_PANEL_POSITIONS);
                line += layer->panel.pitch;
            }
            row = next;
        }
    }
    if ((number & 1) != 0) {
        kg_panel_line(row, row, width, layer->quant->x_zero, line, KG_PANEL_POSITIONS);
    }
}

static void forward_rows(const layer_t *layer, const uint8_t *x, const uint8_t *w, const int32_t *b,
                         uint8_t *y) {
    int32_t width = layer->dims.out_width;
    memset(layer->bytes, layer->quant->x_zero, (size_t)layer->dims.in_width);
    for (int32_t r = 0; r < layer->dims.out_height; r++) {
        lay_rows(layer, x, r);
        multiply(layer, w, b, width, y + r * width);
    }
}

// --- a line for each element ---------------------------------------------------------------------

// Some output positions: `count` from (r, c) on, row by row.
typedef struct {
    int32_t r, c, count;
} span_t;

// Copies what tap (u, v) sees at these positions of one map.
static void gather(const layer_t *layer, const uint8_t *x, int32_t u, int32_t v, span_t span,
                   uint8_t *to) {
    const kg_conv_dims_t *dims = &layer->dims;
    int32_t h = span.r * dims->stride_height + u - dims->pad_top;
    for (; span.count > 0; h += dims->stride_height, span.c = 0) {
        int32_t part = dims->out_width - span.c;
        part = part < span.count ? part : span.count;
        kg_panel_copy(h >= 0 && h < dims->in_height ? x + h * dims->in_width : NULL, dims->in_width,
                      span.c * dims->stride_width + v - dims->pad_left, dims->stride_width, part,
                      (uint8_t)layer->quant->x_zero, to);
        to += part;
        span.count -= part;
    }
}

// The lines of a tile. Those that only fill up the last pairs repeat what lies there.
static void lay_tile(const layer_t *layer, const uint8_t *x, span_t span) {
    const kg_conv_dims_t *dims = &layer->dims;
    uint32_t *line = layer->lines;
    int32_t u = 0;
    int32_t v = 0;
    for (int32_t k = 0; k < 2 * layer->panel.pairs; k++) {
        uint8_t *bytes = layer->bytes + (k & 1) * layer->tile;
        if (k < layer->columns) {
            gather(layer, x, u, v, span, bytes);
            if (++v == dims->kernel_width) {
                v = 0;
                if (++u == dims->kernel_height) {
                    u = 0;
                    x += dims->in_height * dims->in_width;
                }
            }
        }
        if ((k & 1) != 0) {
            kg_panel_line(layer->bytes, bytes, span.count, layer->quant->x_zero, line,
                          layer->panel.pitch);
            line += KG_PANEL_POSITIONS;
        }
    }
}

// The same for windows of one element: lines are parts of the maps.
static void lay_points(const layer_t *layer, const uint8_t *x, int32_t count) {
    uint32_t *line = layer->lines;
    int32_t last = layer->columns - 1;
    for (int32_t k = 0; k < 2 * layer->panel.pairs; k += 2, line += KG_PANEL_POSITIONS) {
        int32_t a = k < last ? k : last;
        int32_t b = k + 1 < last ? k + 1 : last;
        kg_panel_line(x + a * layer->panel.plane, x + b * layer->panel.plane, count,
                      layer->quant->x_zero, line, layer->panel.pitch);
    }
}

static void forward_tiles(const layer_t *layer, const uint8_t *x, const uint8_t *w,
                          const int32_t *b, uint8_t *y) {
    bool pointwise = is_pointwise(&layer->dims);
    memset(layer->bytes, 0, (size_t)(2 * layer->tile));
    for (int32_t p = 0; p < layer->panel.plane; p += layer->tile) {
        int32_t left = layer->panel.plane - p;
        int32_t count = left < layer->tile ? left : layer->tile;
        if (pointwise) {
            lay_points(layer, x + p, count);
        } else {
            lay_tile(layer, x,
                     (span_t){p / layer->dims.out_width, p % layer->dims.out_width, count});
        }
        multiply(layer, w, b, count, y + p);
    }
}

// --- the layer -----------------------------------------------------------------------------------

void kg_conv2d_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch) {
    layer_t layer;
    if (kg_conv_is_depthwise(dims)) {
        kg_depthwise_u8_forward_dsp(dims, x, w, b, quant, y, scratch);
        return;
    }
    (void)plan(dims, scratch, &layer);
    layer.quant = quant;
    layer.panel.rounding = kg_rounding(quant->forward, quant->y_zero, quant->y_min, quant->y_max);
    if (layer.shared) {
        memset(layer.lines, 0, (size_t)(layer.streams - layer.lines) * sizeof *layer.lines);
    }
    int32_t ins = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    for (int32_t g = 0; g < dims->groups; g++) {
        for (int32_t o = 0; layer.whole && o < layer.outs; o += 2) {
            make_stream(&layer, w, b, o, layer.streams + o / 2 * layer.panel.stream);
        }
        if (layer.shared) {
            forward_rows(&layer, x, w, b, y);
        } else {
            forward_tiles(&layer, x, w, b, y);
        }
        x += ins;
        w += layer.outs * layer.columns;
        b += layer.outs;
        y += layer.outs * layer.panel.plane;
    }
}
