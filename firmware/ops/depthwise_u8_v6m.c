// SPDX-License-Identifier: Apache-2.0
// Convolution of few channels in uint8 for Cortex-M0+: here the weights are the list, and positions
// of the map are the rows (taps_v6m.h).
//
// All positions whose window is cut off alike by the border share a list: nine of them for a 3x3
// kernel with padding, and more in the backward pass where strides make phases.
#include "ops/depthwise.h"

#include <string.h>

#include "ops/error.h"
#include "ops/taps_v6m.h"
#include "ops/window.h"

static const int32_t no_bias[KG_ROWS_V6M];

// Positions of one axis that see the same taps, and the first of these: where it is for the first
// position, and how far it moves from position to position.
typedef struct {
    int32_t first, end;
    kg_range_t taps;
    int32_t start, stride;
} run_t;

static kg_range_t seen(int32_t start, int32_t kernel, int32_t size) {
    kg_range_t taps = kg_taps_inside(start, kernel, size);
    return taps.first < taps.end ? taps : (kg_range_t){0, 0};
}

static run_t next_run(int32_t first, int32_t stride, int32_t pad, int32_t kernel, int32_t size,
                      int32_t count) {
    kg_range_t taps = seen(first * stride - pad, kernel, size);
    run_t run = {first, first + 1, taps, first * stride - pad + taps.first, stride};
    for (; run.end < count; run.end++) {
        taps = seen(run.end * stride - pad, kernel, size);
        if (taps.first != run.taps.first || taps.end != run.taps.end) {
            break;
        }
    }
    return run;
}

static run_t next_row_run(const kg_conv_dims_t *dims, int32_t r) {
    return next_run(r, dims->stride_height, dims->pad_top, dims->kernel_height, dims->in_height,
                    dims->out_height);
}

static run_t next_column_run(const kg_conv_dims_t *dims, int32_t c) {
    return next_run(c, dims->stride_width, dims->pad_left, dims->kernel_width, dims->in_width,
                    dims->out_width);
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

// --- forward -------------------------------------------------------------------------------------

size_t kg_depthwise_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)kg_conv_columns(dims) * sizeof(kg_tap_t);
}

// One axis of a rectangle of outputs: how many, and from one to the next in x and in y.
typedef struct {
    int32_t count, x_step, y_step;
} axis_t;

// Outputs of a rectangle; x and y start at its first.
static void forward_rectangle(kg_tap_list_t list, int32_t base, axis_t outer, axis_t inner,
                              const kg_conv_quant_t *quant, const uint8_t *x, uint8_t *y) {
    int32_t rows[KG_ROWS_V6M];
    for (; outer.count > 0; outer.count--, x += outer.x_step, y += outer.y_step) {
        uint8_t *to = y;
        int32_t from = 0;
        for (int32_t left = inner.count; left > 0; left -= KG_ROWS_V6M) {
            int32_t count = smaller(left, KG_ROWS_V6M);
            for (int32_t j = 0; j < count; j++, from += inner.x_step) {
                rows[j] = from;
            }
            kg_taps_dot_v6m(list, x, rows, count);
            kg_outputs_v6m(rows, no_bias, count, base, quant, to, inner.y_step);
            to += count * inner.y_step;
        }
    }
}

// One channel; x starts at its group, w, bias and y at the channel.
static void forward_runs(const kg_conv_dims_t *dims, const run_t *rows, const run_t *cols,
                         const uint8_t *x, const uint8_t *w, int32_t bias,
                         const kg_conv_quant_t *quant, uint8_t *y, kg_tap_t *taps) {
    kg_tap_t *end = taps;
    int32_t total = 0;
    int32_t height = rows->taps.end - rows->taps.first;
    int32_t width = cols->taps.end - cols->taps.first;
    if (height > 0 && width > 0) {
        kg_block_v6m_t block = {.values =
                                    w + rows->taps.first * dims->kernel_width + cols->taps.first,
                                .zero = quant->w_zero,
                                .width = width,
                                .height = height,
                                .channels = kg_conv_group_inputs(dims),
                                .step = 1,
                                .row = dims->kernel_width,
                                .channel = dims->kernel_height * dims->kernel_width,
                                .offset_step = 1,
                                .offset_row = dims->in_width,
                                .offset_channel = dims->in_height * dims->in_width};
        end = kg_taps_append_v6m(&block, taps, &total);
        x += rows->start * dims->in_width + cols->start;
    }
    axis_t down = {rows->end - rows->first, rows->stride * dims->in_width, dims->out_width};
    axis_t across = {cols->end - cols->first, cols->stride, 1};
    bool tall = down.count > across.count;
    forward_rectangle((kg_tap_list_t){taps, end}, bias - quant->x_zero * total,
                      tall ? across : down, tall ? down : across, quant, x,
                      y + rows->first * dims->out_width + cols->first);
}

void kg_depthwise_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                 const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                 void *scratch) {
    int32_t plane = dims->out_height * dims->out_width;
    int32_t group = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    int32_t outs = kg_conv_group_outputs(dims);
    int32_t columns = kg_conv_columns(dims);
    run_t rows, cols;
    for (int32_t r = 0; r < dims->out_height; r = rows.end) {
        rows = next_row_run(dims, r);
        for (int32_t c = 0; c < dims->out_width; c = cols.end) {
            cols = next_column_run(dims, c);
            for (int32_t g = 0, o = 0; g < dims->groups; g++) {
                for (int32_t last = o + outs; o < last; o++) {
                    forward_runs(dims, &rows, &cols, x + g * group, w + o * columns, b[o], quant,
                                 y + o * plane, scratch);
                }
            }
        }
    }
}

// --- weight gradient -----------------------------------------------------------------------------

static void add_sums(kg_tap_list_t errors, const uint8_t *x, int32_t *starts, const int32_t *places,
                     int32_t count, int32_t base, int32_t *row) {
    kg_taps_dot_v6m(errors, x, starts, count);
    for (int32_t j = 0; j < count; j++) {
        row[places[j]] += starts[j] + base;
    }
}

// Adds a list of errors to the weights of the taps (us, vs) in all inputs; x starts at the element
// under the first tap of the window at offset 0.
static void add_taps(const kg_conv_dims_t *dims, kg_tap_list_t errors, int32_t base, kg_range_t us,
                     kg_range_t vs, const uint8_t *x, int32_t *row) {
    int32_t starts[KG_ROWS_V6M], places[KG_ROWS_V6M];
    int32_t count = 0;
    for (int32_t i = 0; i < kg_conv_group_inputs(dims); i++) {
        for (int32_t u = us.first; u < us.end; u++) {
            int32_t start = (i * dims->in_height + u - us.first) * dims->in_width;
            int32_t place = (i * dims->kernel_height + u) * dims->kernel_width;
            for (int32_t v = vs.first; v < vs.end; v++) {
                starts[count] = start++;
                places[count++] = place + v;
                if (count == KG_ROWS_V6M) {
                    add_sums(errors, x, starts, places, count, base, row);
                    count = 0;
                }
            }
        }
    }
    add_sums(errors, x, starts, places, count, base, row);
}

void kg_channel_u8_weight_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                       const uint8_t *e, int32_t x_zero, int32_t capacity,
                                       int32_t *row, kg_tap_t *taps) {
    run_t rows, cols;
    for (int32_t r = 0; r < dims->out_height; r = rows.end) {
        rows = next_row_run(dims, r);
        for (int32_t c = 0; c < dims->out_width; c = cols.end) {
            cols = next_column_run(dims, c);
            int32_t width = cols.end - c;
            int32_t at_once = capacity / width;
            for (int32_t first = r; first < rows.end; first += at_once) {
                int32_t height = smaller(at_once, rows.end - first);
                kg_block_v6m_t block = {.values = e + first * dims->out_width + c,
                                        .zero = KG_ERROR_ZERO,
                                        .width = width,
                                        .height = height,
                                        .channels = 1,
                                        .step = 1,
                                        .row = dims->out_width,
                                        .offset = (first - r) * rows.stride * dims->in_width,
                                        .offset_step = cols.stride,
                                        .offset_row = rows.stride * dims->in_width};
                int32_t total = 0;
                kg_tap_list_t errors = {taps, kg_taps_append_v6m(&block, taps, &total)};
                add_taps(dims, errors, -x_zero * total, rows.taps, cols.taps,
                         x + rows.start * dims->in_width + cols.start, row);
            }
        }
    }
}

// --- input gradient ------------------------------------------------------------------------------

size_t kg_depthwise_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)kg_conv_columns(dims) * sizeof(kg_tap_t);
}

// Inputs of one axis, `stride` apart, that as many outputs read through the same taps; output and
// tap of the first.
typedef struct {
    int32_t first, end, stride;
    int32_t count, output, tap;
} readers_t;

typedef struct {
    int32_t stride, pad, kernel, size, outputs;
} side_t;

static readers_t readers_of(const side_t *side, int32_t position, kg_range_t *range) {
    int32_t at = position + side->pad;
    kg_readers_advance(range, at, side->kernel, side->stride, side->outputs);
    return (readers_t){.count = range->end > range->first ? range->end - range->first : 0,
                       .output = range->first,
                       .tap = at - range->first * side->stride};
}

static readers_t next_readers(const side_t *side, int32_t first) {
    kg_range_t range = {0, 0};
    readers_t run = readers_of(side, first, &range);
    run.first = first;
    run.stride = side->stride;
    for (run.end = first + side->stride; run.end < side->size; run.end += side->stride) {
        readers_t next = readers_of(side, run.end, &range);
        if (next.count != run.count || next.tap != run.tap) {
            break;
        }
    }
    return run;
}

// One channel of the input gradient: its part of the arrays, its factor, and positions that wait
// for their sums.
typedef struct {
    const kg_conv_dims_t *dims;
    const kg_conv_quant_t *quant;
    const kg_kept_t *kept;
    int32_t factor;
    const uint8_t *e, *w, *mask;
    uint8_t *dx;
    kg_tap_t *taps;
    int32_t largest;
    kg_tap_list_t list;
    int32_t base, count;
    int32_t starts[KG_ROWS_V6M], places[KG_ROWS_V6M];
} channel_t;

// Lists the taps through which outputs read, times the factor.
static void list_taps(channel_t *channel, const readers_t *rows, const readers_t *cols) {
    const kg_conv_dims_t *dims = channel->dims;
    kg_tap_t *end = channel->taps;
    int32_t total = 0;
    if (rows->count > 0 && cols->count > 0) {
        kg_block_v6m_t block = {.values = channel->w + rows->tap * dims->kernel_width + cols->tap,
                                .zero = channel->quant->w_zero,
                                .width = cols->count,
                                .height = rows->count,
                                .channels = 1,
                                .step = -dims->stride_width,
                                .row = -dims->stride_height * dims->kernel_width,
                                .offset_step = 1,
                                .offset_row = dims->out_width};
        end = kg_taps_append_v6m(&block, end, &total);
        for (kg_tap_t *tap = channel->taps; channel->factor != 1 && tap < end; tap++) {
            tap->value *= channel->factor;
        }
    }
    channel->list = (kg_tap_list_t){channel->taps, end};
    channel->base = kg_kept_half(channel->kept) - KG_ERROR_ZERO * total * channel->factor;
}

static void gather_waiting(channel_t *channel) {
    kg_taps_dot_v6m(channel->list, channel->e, channel->starts, channel->count);
    channel->largest = kg_errors_v6m(channel->starts, channel->places, channel->count,
                                     channel->base, kg_kept_fraction(channel->kept),
                                     channel->quant->backward, channel->dx, channel->largest);
    channel->count = 0;
}

// Positions from `place` on, `step` apart, `row` the start of the errors that the first is read by.
static void gather_row(channel_t *channel, int32_t row, int32_t place, int32_t end, int32_t step) {
    int32_t zero = channel->mask == NULL ? -1 : channel->quant->x_zero;
    const uint8_t *seen = channel->mask == NULL ? channel->dx : channel->mask;
    int32_t count = channel->count;
    for (; place < end; place += step, row++) {
        if (seen[place] <= zero) {
            channel->dx[place] = KG_ERROR_ZERO;
            continue;
        }
        channel->starts[count] = row;
        channel->places[count++] = place;
        if (count == KG_ROWS_V6M) {
            channel->count = count;
            gather_waiting(channel);
            count = 0;
        }
    }
    channel->count = count;
}

static void gather_rectangle(channel_t *channel, const readers_t *rows, const readers_t *cols) {
    const kg_conv_dims_t *dims = channel->dims;
    int32_t row = rows->output * dims->out_width + cols->output;
    list_taps(channel, rows, cols);
    for (int32_t h = rows->first; h < rows->end; h += rows->stride, row += dims->out_width) {
        int32_t place = h * dims->in_width;
        gather_row(channel, row, place + cols->first, place + smaller(cols->end, dims->in_width),
                   cols->stride);
    }
    gather_waiting(channel);
}

// The same rectangle in all kept channels; arrays of `all` are those of channel 0.
static void gather_channels(channel_t *all, const readers_t *rows, const readers_t *cols) {
    const kg_conv_dims_t *dims = all->dims;
    int32_t plane = dims->in_height * dims->in_width;
    const uint8_t *e = all->e, *w = all->w, *mask = all->mask;
    uint8_t *dx = all->dx;
    for (int32_t j = 0; j < kg_kept_count(all->kept, dims->groups); j++) {
        kg_kept_row_t row = kg_kept_at(all->kept, j);
        all->factor = row.factor;
        all->e = e + row.row * dims->out_height * dims->out_width;
        all->w = w + row.row * kg_conv_columns(dims);
        all->mask = mask == NULL ? NULL : mask + row.row * plane;
        all->dx = dx + row.row * plane;
        gather_rectangle(all, rows, cols);
    }
    all->e = e;
    all->w = w;
    all->mask = mask;
    all->dx = dx;
}

static void clear_dropped(const kg_conv_dims_t *dims, const kg_kept_t *kept, uint8_t *dx) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t next = 0;  // channel
    for (int32_t j = 0; j < kept->count; j++) {
        int32_t row = kept->rows[j].row;
        memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((row - next) * plane));
        next = row + 1;
    }
    memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((dims->groups - next) * plane));
}

int32_t kg_depthwise_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                           const kg_kept_t *kept, const uint8_t *w,
                                           const kg_conv_quant_t *quant, const uint8_t *mask,
                                           uint8_t *dx, void *scratch) {
    side_t down = {dims->stride_height, dims->pad_top, dims->kernel_height, dims->in_height,
                   dims->out_height};
    side_t across = {dims->stride_width, dims->pad_left, dims->kernel_width, dims->in_width,
                     dims->out_width};
    channel_t channels;
    channels.dims = dims;
    channels.quant = quant;
    channels.kept = kept;
    channels.e = e;
    channels.w = w;
    channels.mask = mask;
    channels.dx = dx;
    channels.taps = scratch;
    channels.largest = channels.count = 0;
    readers_t rows, cols;
    for (int32_t y_phase = 0; y_phase < down.stride; y_phase++) {
        for (int32_t h = y_phase; h < down.size; h = rows.end) {
            rows = next_readers(&down, h);
            for (int32_t x_phase = 0; x_phase < across.stride; x_phase++) {
                for (int32_t k = x_phase; k < across.size; k = cols.end) {
                    cols = next_readers(&across, k);
                    gather_channels(&channels, &rows, &cols);
                }
            }
        }
    }
    if (kept != NULL) {
        clear_dropped(dims, kept, dx);
    }
    return channels.largest;
}
