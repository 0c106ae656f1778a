// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in float32 for cores with an FPU: the bits of conv2d_f32.c, sixteen sums at once
// (ops/tile_f32.h).
//
// A tile is four channels by four neighbours: forward, output channels by positions of an output
// row; input gradient, input channels by positions of an input row; weight gradient, output
// channels by input channels under one tap. Operands of the second kind are brought into the order
// of the sums first. Shapes that tiles do not suit, and errors that are mostly zero, take the plain
// kernel, whose lists leave zeros out.
#include <stdbool.h>
#include <string.h>

#include "ops/clamp.h"
#include "ops/conv2d.h"
#include "ops/tile_f32.h"
#include "ops/window.h"

#define TILE_SUMS (KG_TILE * KG_TILE)

static const float nothing[TILE_SUMS];

// A 1x1 convolution without padding sees its maps as one long row.
static kg_conv_dims_t flat(const kg_conv_dims_t *dims) {
    kg_conv_dims_t d = *dims;
    if (d.kernel_height == 1 && d.kernel_width == 1 && d.stride_height == 1 &&
        d.stride_width == 1 && d.pad_top == 0 && d.pad_left == 0 && d.in_width == d.out_width &&
        d.in_height == d.out_height) {
        d.in_width = d.out_width = d.in_width * d.in_height;
        d.in_height = d.out_height = 1;
    }
    return d;
}

// Where a tile's columns are packed from: one map, and the steps from tap to tap and from column to
// column.
typedef struct {
    const float *map;
    int32_t height, width;
    int32_t top, left;  // of tap (0, 0) of the first column
    int32_t tap_step;   // 1 forward, -1 backward
    int32_t column_step;
} source_t;

static float seen(const float *row, int32_t at, int32_t width) {
    return (uint32_t)at < (uint32_t)width ? row[at] : 0.0f;
}

static float *pack_any(const source_t *s, const float *row, int32_t taps, float *to) {
    for (int32_t v = 0, c = s->left; v < taps; v++, c += s->tap_step) {
        for (int32_t j = 0, at = c; j < KG_TILE; j++, at += s->column_step) {
            *to++ = seen(row, at, s->width);
        }
    }
    return to;
}

// Three taps at four neighbours see six floats in a row; at an edge some are outside.
static inline const float *six(const float *row, int32_t first, int32_t width, float *edge) {
    if ((uint32_t)first <= (uint32_t)(width - KG_SPREAD) && width >= KG_SPREAD) {
        return row + first;
    }
    edge[0] = seen(row, first, width);
    edge[1] = seen(row, first + 1, width);
    edge[2] = seen(row, first + 2, width);
    edge[3] = seen(row, first + 3, width);
    edge[4] = seen(row, first + 4, width);
    edge[5] = seen(row, first + 5, width);
    return edge;
}

// The same as pack_any for all rows of `taps` = 3 in several maps.
static float *pack_threes(const kg_conv_dims_t *dims, const source_t *s, int32_t maps, float *to) {
    int32_t rows = dims->kernel_height;
    int32_t height = s->height;
    int32_t width = s->width;
    int32_t step = s->tap_step;
    int32_t top = s->top;
    int32_t first = step < 0 ? s->left - 2 : s->left;
    const float *start = s->map + top * width;
    float edge[KG_SPREAD];
    for (int32_t i = 0; i < maps; i++, start += height * width) {
        const float *row = start;
        for (int32_t u = 0, r = top; u < rows; u++, r += step, row += step * width) {
            if ((uint32_t)r >= (uint32_t)height) {
                kg_spread_up_f32(nothing, to);
            } else if (step < 0) {
                kg_spread_down_f32(six(row, first, width, edge), to);
            } else {
                kg_spread_up_f32(six(row, first, width, edge), to);
            }
            to += 3 * KG_TILE;
        }
    }
    return to;
}

// Writes (maps, taps, 4): what each tap sees at four columns, 0 outside of the map. Returns the
// end.
static float *pack(const kg_conv_dims_t *dims, const source_t *s, int32_t maps, float *to) {
    int32_t taps = dims->kernel_width;
    if (taps == 3 && s->column_step == 1) {
        return pack_threes(dims, s, maps, to);
    }
    for (int32_t i = 0; i < maps; i++) {
        const float *row = s->map + (i * s->height + s->top) * s->width;
        for (int32_t u = 0, r = s->top; u < dims->kernel_height; u++, r += s->tap_step) {
            if (r >= 0 && r < s->height) {
                to = pack_any(s, row, taps, to);
            } else {
                for (int32_t at = 0; at < taps * KG_TILE; at++) {
                    *to++ = 0.0f;
                }
            }
            row += s->tap_step * s->width;
        }
    }
    return to;
}

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

// --- forward ---

static bool tiles_suit_forward(const kg_conv_dims_t *dims) {
    return kg_conv_group_outputs(dims) >= KG_TILE && dims->out_width >= KG_TILE;
}

size_t kg_conv2d_f32_forward_fpu_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_conv_dims_t d = flat(dims);
    if (!tiles_suit_forward(&d)) {
        return kg_conv2d_f32_forward_scratch_bytes(dims);
    }
    return (size_t)(kg_conv_columns(dims) * KG_TILE) * sizeof(float);
}

// One tile: columns c to c + count - 1 of output row r in the group's channels o to o + 3.
typedef struct {
    const kg_conv_dims_t *dims;
    int32_t columns, plane;  // of w, of y
    const float *w, *b;
    float y_min, y_max;
    float *y;
} forward_t;

static void forward_tile(const forward_t *f, const float *packed, int32_t o, int32_t at,
                         int32_t count) {
    int32_t columns = f->columns;
    int32_t plane = f->plane;
    float y_min = f->y_min;
    float y_max = f->y_max;
    float sums[TILE_SUMS];
    kg_tile_f32(columns, f->w + o * columns, columns, packed, nothing, sums);
    for (int32_t i = 0; i < KG_TILE; i++, o++) {
        const float *sum = sums + i * KG_TILE;
        float *y = f->y + o * plane + at;
        float bias = f->b[o];
        if (count == KG_TILE) {  // unrolled
            y[0] = kg_clampf(sum[0] + bias, y_min, y_max);
            y[1] = kg_clampf(sum[1] + bias, y_min, y_max);
            y[2] = kg_clampf(sum[2] + bias, y_min, y_max);
            y[3] = kg_clampf(sum[3] + bias, y_min, y_max);
            continue;
        }
        for (int32_t j = 0; j < count; j++) {
            y[j] = kg_clampf(sum[j] + bias, y_min, y_max);
        }
    }
}

static void forward_columns(const forward_t *f, const float *x, int32_t g, int32_t r, int32_t c,
                            float *packed) {
    const kg_conv_dims_t *dims = f->dims;
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t outs = kg_conv_group_outputs(dims);
    source_t source = {
        .map = x + g * channels * dims->in_height * dims->in_width,
        .height = dims->in_height,
        .width = dims->in_width,
        .top = r * dims->stride_height - dims->pad_top,
        .left = c * dims->stride_width - dims->pad_left,
        .tap_step = 1,
        .column_step = dims->stride_width,
    };
    (void)pack(dims, &source, channels, packed);
    for (int32_t o = 0; o < outs; o += KG_TILE) {  // the last tile repeats channels
        forward_tile(f, packed, g * outs + least(o, outs - KG_TILE), r * dims->out_width + c,
                     least(dims->out_width - c, KG_TILE));
    }
}

void kg_conv2d_f32_forward_fpu(const kg_conv_dims_t *dims, const float *x, const float *w,
                               const float *b, float y_min, float y_max, float *y, void *scratch) {
    kg_conv_dims_t d = flat(dims);
    if (!tiles_suit_forward(&d)) {
        kg_conv2d_f32_forward(dims, x, w, b, y_min, y_max, y, scratch);
        return;
    }
    forward_t f = {
        .dims = &d,
        .columns = kg_conv_columns(&d),
        .plane = d.out_height * d.out_width,
        .w = w,
        .b = b,
        .y_min = y_min,
        .y_max = y_max,
        .y = y,
    };
    for (int32_t g = 0; g < d.groups; g++) {
        for (int32_t r = 0; r < d.out_height; r++) {
            for (int32_t c = 0; c < d.out_width; c += KG_TILE) {
                forward_columns(&f, x, g, r, c, scratch);
            }
        }
    }
}

// Whether errors are so many that tiles win, which multiply zeros too.
static bool is_dense(const float *e, int32_t count) {
    int32_t errors = 0;
    for (int32_t i = 0; i < count; i++) {
        errors += e[i] != 0.0f;
    }
    return errors * 3 >= count;
}

// --- weight gradient: rows come one by one, are made by fours, and wait for their turn ---

// In scratch: the rows made last, then the errors of four channels as (positions, 4).
typedef struct {
    int32_t next;        // channel that is asked for while all are, in order; then: -1
    int32_t first, end;  // channels of the rows that are there
} rows_t;

static bool tiles_suit_rows(const kg_conv_dims_t *dims) {
    return kg_conv_group_inputs(dims) >= KG_TILE && kg_conv_group_outputs(dims) >= KG_TILE &&
           dims->stride_width == 1 && dims->out_width >= KG_TILE;
}

static float *rows_of(void *scratch) {
    return (float *)((rows_t *)scratch + 1);
}

static float *errors_of(const kg_conv_dims_t *dims, void *scratch) {
    return rows_of(scratch) + KG_TILE * kg_conv_columns(dims);
}

size_t kg_conv2d_f32_weight_gradient_fpu_scratch_bytes(const kg_conv_dims_t *dims) {
    size_t plain = kg_conv2d_f32_weight_gradient_scratch_bytes(dims);
    int32_t positions = dims->out_height * dims->out_width;
    size_t tiles = (size_t)(KG_TILE * (kg_conv_columns(dims) + positions)) * sizeof(float);
    return tiles_suit_rows(dims) && tiles > plain ? sizeof(rows_t) + tiles : sizeof(rows_t) + plain;
}

void kg_conv2d_f32_weight_gradient_fpu_prepare(const kg_conv_dims_t *dims, const float *x,
                                               void *scratch) {
    (void)dims;
    (void)x;
    *(rows_t *)scratch = (rows_t){0, 0, 0};
}

// sums[o][i] of one tap (u, v) over all positions; x starts at the first of four channels.
static void tap_sums(const kg_conv_dims_t *dims, const float *x, const float *errors, int32_t u,
                     int32_t v, float *sums) {
    int32_t left = v - dims->pad_left;
    kg_range_t cols = kg_outputs_inside(left, 1, dims->in_width, dims->out_width);
    int32_t count = cols.end - cols.first;
    for (int32_t r = 0; r < dims->out_height && count > 0; r++) {
        int32_t h = r * dims->stride_height + u - dims->pad_top;
        if (h >= 0 && h < dims->in_height) {
            kg_tile_f32(count, x + h * dims->in_width + left + cols.first,
                        dims->in_height * dims->in_width,
                        errors + (r * dims->out_width + cols.first) * KG_TILE, sums, sums);
        }
    }
}

// Makes the rows of four output channels of one group, from `first` on.
static void make_rows(const kg_conv_dims_t *dims, const float *x, const float *e, int32_t first,
                      void *scratch) {
    int32_t columns = kg_conv_columns(dims);
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t positions = dims->out_height * dims->out_width;
    float *errors = errors_of(dims, scratch);
    for (int32_t j = 0; j < KG_TILE; j++) {
        for (int32_t p = 0; p < positions; p++) {
            errors[p * KG_TILE + j] = e[(first + j) * positions + p];
        }
    }
    x += first / kg_conv_group_outputs(dims) * channels * dims->in_height * dims->in_width;
    for (int32_t i = 0; i < channels; i += KG_TILE) {
        int32_t from = least(i, channels - KG_TILE);  // the last tile repeats channels
        for (int32_t tap = 0; tap < taps; tap++) {
            float sums[TILE_SUMS] = {0.0f};
            tap_sums(dims, x + from * dims->in_height * dims->in_width, errors,
                     tap / dims->kernel_width, tap % dims->kernel_width, sums);
            for (int32_t at = 0; at < TILE_SUMS; at++) {
                rows_of(scratch)[at % KG_TILE * columns + (from + at / KG_TILE) * taps + tap] =
                    sums[at];
            }
        }
    }
}

void kg_conv2d_f32_weight_gradient_fpu(const kg_conv_dims_t *dims, const float *x, const float *e,
                                       int32_t channel, float *row, void *scratch) {
    int32_t columns = kg_conv_columns(dims);
    int32_t outs = kg_conv_group_outputs(dims);
    int32_t positions = dims->out_height * dims->out_width;
    rows_t *rows = scratch;
    bool all = channel == rows->next;
    rows->next = all ? channel + 1 : -1;
    if (channel >= rows->first && channel < rows->end) {
        memcpy(row, rows_of(scratch) + (channel - rows->first) * columns,
               (size_t)columns * sizeof *row);
        rows->next = channel + 1;
        return;
    }
    bool whole = channel % outs + KG_TILE <= outs;
    if (tiles_suit_rows(dims) && all && whole &&
        is_dense(e + channel * positions, KG_TILE * positions)) {
        make_rows(dims, x, e, channel, scratch);
        rows->first = channel;
        rows->end = channel + KG_TILE;
        memcpy(row, rows_of(scratch), (size_t)columns * sizeof *row);
        return;
    }
    rows->end = 0;  // the plain kernel takes the room
    kg_conv2d_f32_weight_gradient(dims, x, e, channel, row, rows_of(scratch));
}

// --- input gradient ---

static bool tiles_suit_inputs(const kg_conv_dims_t *dims) {
    return kg_conv_group_inputs(dims) >= KG_TILE && dims->in_width >= KG_TILE &&
           dims->stride_width == 1 && dims->stride_height == 1 &&
           dims->kernel_height * dims->kernel_width >= KG_TILE;
}

size_t kg_conv2d_f32_input_gradient_fpu_scratch_bytes(const kg_conv_dims_t *dims) {
    size_t plain = kg_conv2d_f32_input_gradient_scratch_bytes(dims);
    int32_t taps = kg_conv_group_outputs(dims) * dims->kernel_height * dims->kernel_width;
    size_t tiles = (size_t)(taps * KG_TILE) * sizeof(float);
    return tiles_suit_inputs(dims) && tiles > plain ? tiles : plain;
}

static bool errors_are_dense(const kg_conv_dims_t *dims, const float *e, const kg_kept_t *kept) {
    int32_t positions = dims->out_height * dims->out_width;
    int32_t dense = 0;
    int32_t rows = kg_kept_count(kept, dims->out_channels);
    for (int32_t j = 0; j < rows; j++) {
        dense += is_dense(e + kg_kept_at(kept, j).row * positions, positions);
    }
    return dense * 2 > rows;
}

// One group, or the part of it that is kept: e starts at the layer, w at the group.
typedef struct {
    const kg_conv_dims_t *dims;
    const float *e, *w;
    const kg_kept_t *kept;
    kg_kept_range_t range;
    int32_t first_out;
} inputs_t;

// Packs what four positions from (h, k) on get errors from: (kept channels, taps, 4).
static void pack_errors(const inputs_t *in, int32_t h, int32_t k, float *packed) {
    const kg_conv_dims_t *dims = in->dims;
    source_t source = {
        .height = dims->out_height,
        .width = dims->out_width,
        .top = h + dims->pad_top,
        .left = k + dims->pad_left,
        .tap_step = -1,
        .column_step = 1,
    };
    for (int32_t j = in->range.first; j < in->range.end; j++) {
        kg_kept_row_t row = kg_kept_at(in->kept, j);
        float *start = packed;
        source.map = in->e + row.row * dims->out_height * dims->out_width;
        packed = pack(dims, &source, 1, packed);
        if (in->kept != NULL) {
            float scale = kg_kept_scale(in->kept, row);
            for (; start < packed; start++) {
                *start *= scale;
            }
        }
    }
}

// dx of the last `fresh` of the channels i to i + 3 of the group at `count` positions; mask and dx,
// which may be one array, start at the first.
static void input_tile(const inputs_t *in, const float *packed, int32_t i, int32_t fresh,
                       int32_t count, const float *mask, float *dx) {
    const kg_conv_dims_t *dims = in->dims;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t plane = dims->in_height * dims->in_width;
    float sums[TILE_SUMS] = {0.0f};
    for (int32_t j = in->range.first; j < in->range.end; j++, packed += taps * KG_TILE) {
        int32_t row = kg_kept_at(in->kept, j).row - in->first_out;
        kg_tile_f32(taps, in->w + row * kg_conv_columns(dims) + i * taps, taps, packed, sums, sums);
    }
    for (int32_t c = KG_TILE - fresh; c < KG_TILE; c++) {
        for (int32_t j = 0; j < count; j++) {
            int32_t at = (i + c) * plane + j;
            dx[at] = mask != NULL && mask[at] <= 0.0f ? 0.0f : sums[c * KG_TILE + j];
        }
    }
}

static void input_group(const inputs_t *in, const float *mask, float *dx, float *packed) {
    const kg_conv_dims_t *dims = in->dims;
    int32_t channels = kg_conv_group_inputs(dims);
    for (int32_t at = 0, h = 0; h < dims->in_height; h++) {
        for (int32_t k = 0; k < dims->in_width; k += KG_TILE) {
            int32_t count = least(dims->in_width - k, KG_TILE);
            pack_errors(in, h, k, packed);
            for (int32_t i = 0; i < channels; i += KG_TILE) {
                int32_t fresh = least(channels - i, KG_TILE);
                input_tile(in, packed, i + fresh - KG_TILE, fresh, count,
                           mask == NULL ? NULL : mask + at, dx + at);
            }
            at += count;
        }
    }
}

void kg_conv2d_f32_input_gradient_fpu(const kg_conv_dims_t *dims, const float *e,
                                      const kg_kept_t *kept, const float *w, const float *mask,
                                      float *dx, void *scratch) {
    if (!tiles_suit_inputs(dims) || !errors_are_dense(dims, e, kept)) {
        kg_conv2d_f32_input_gradient(dims, e, kept, w, mask, dx, scratch);
        return;
    }
    int32_t outs = kg_conv_group_outputs(dims);
    int32_t maps = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    for (int32_t g = 0; g < dims->groups; g++) {
        inputs_t in = {
            .dims = dims,
            .e = e,
            .w = w + g * outs * kg_conv_columns(dims),
            .kept = kept,
            .range = kg_kept_between(kept, g * outs, (g + 1) * outs),
            .first_out = g * outs,
        };
        input_group(&in, mask == NULL ? NULL : mask + g * maps, dx + g * maps, scratch);
    }
}
