// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in uint8 for Cortex-M0+: the lists of conv2d_u8.c, each against two rows at a
// time (taps_v6m.h).
#include "ops/conv2d.h"
#include "ops/depthwise.h"
#include "ops/error.h"
#include "ops/taps_v6m.h"
#include "ops/window.h"

// One group of channels. List, rows and errors belong to one position of the map that is written.
typedef struct {
    const kg_conv_dims_t *dims;
    const kg_conv_quant_t *quant;
    int32_t ins, outs, columns, area;
    const uint8_t *w;
    kg_tap_t *taps;
    kg_block_v6m_t block;   // what does not change from position to position
    const kg_kept_t *kept;  // backward: of the layer, and the part that is the group's
    kg_kept_range_t kept_outs;
} group_t;

static group_t group_of(const kg_conv_dims_t *dims, const kg_conv_quant_t *quant, void *scratch) {
    return (group_t){.dims = dims,
                     .quant = quant,
                     .ins = kg_conv_group_inputs(dims),
                     .outs = kg_conv_group_outputs(dims),
                     .columns = kg_conv_columns(dims),
                     .area = dims->kernel_height * dims->kernel_width,
                     .taps = scratch};
}

// A column of one value per channel reads as one row.
static void turn_column(kg_block_v6m_t *block) {
    if (block->height == 1 && block->width == 1) {
        block->width = block->channels;
        block->channels = 1;
        block->step = block->channel;
        block->offset_step = block->offset_channel;
    }
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

// --- forward -------------------------------------------------------------------------------------

size_t kg_conv2d_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_forward_scratch_bytes(dims);
    }
    return (size_t)kg_conv_columns(dims) * sizeof(kg_tap_t);
}

// Lists the window of output position (r, c), and its sum.
static kg_tap_list_t list_window(const group_t *group, int32_t r, int32_t c, int32_t *total) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    kg_tap_t *end = group->taps;
    *total = 0;
    if (us.first < us.end && vs.first < vs.end) {
        kg_block_v6m_t block = group->block;
        block.values += (top + us.first) * dims->in_width + left + vs.first;
        block.width = vs.end - vs.first;
        block.height = us.end - us.first;
        block.offset = us.first * dims->kernel_width + vs.first;
        turn_column(&block);
        end = kg_taps_append_v6m(&block, end, total);
    }
    return (kg_tap_list_t){group->taps, end};
}

// One output position in all channels of a group; b and y start at the group, y at the position.
static void forward_position(const group_t *group, kg_tap_list_t list, int32_t total,
                             const int32_t *b, uint8_t *y) {
    int32_t plane = group->dims->out_height * group->dims->out_width;
    int32_t base = -group->quant->w_zero * total;
    int32_t rows[KG_ROWS_V6M];
    int32_t row = 0;
    for (int32_t o = 0; o < group->outs; o += KG_ROWS_V6M) {
        int32_t count = smaller(group->outs - o, KG_ROWS_V6M);
        for (int32_t j = 0; j < count; j++, row += group->columns) {
            rows[j] = row;
        }
        kg_taps_dot_v6m(list, group->w, rows, count);
        kg_outputs_v6m(rows, b + o, count, base, group->quant, y + o * plane, plane);
    }
}

void kg_conv2d_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        kg_depthwise_u8_forward(dims, x, w, b, quant, y, scratch);
        return;
    }
    int32_t plane = dims->out_height * dims->out_width;
    int32_t in_plane = dims->in_height * dims->in_width;
    group_t group = group_of(dims, quant, scratch);
    for (int32_t g = 0; g < dims->groups; g++, b += group.outs) {
        group.w = w + g * group.outs * group.columns;
        group.block = (kg_block_v6m_t){.values = x + g * group.ins * in_plane,
                                       .zero = quant->x_zero,
                                       .channels = group.ins,
                                       .step = 1,
                                       .row = dims->in_width,
                                       .channel = in_plane,
                                       .offset_step = 1,
                                       .offset_row = dims->kernel_width,
                                       .offset_channel = group.area};
        uint8_t *out = y + g * group.outs * plane;
        for (int32_t r = 0; r < dims->out_height; r++) {
            for (int32_t c = 0; c < dims->out_width; c++) {
                int32_t total;
                kg_tap_list_t list = list_window(&group, r, c, &total);
                forward_position(&group, list, total, b, out++);
            }
        }
    }
}

// --- weight gradient -----------------------------------------------------------------------------

// Errors that one list of the weight gradient can hold: it takes whole rows while another fits.
static int32_t list_capacity(const kg_conv_dims_t *dims) {
    int32_t enough = smaller(dims->out_height * dims->out_width, 128);
    return enough < dims->out_width ? dims->out_width : enough;
}

size_t kg_conv2d_u8_weight_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)list_capacity(dims) * sizeof(kg_tap_t);
}

// Lists the errors of `height` rows from r on, where tap (0, v) is inside the columns of the map.
// The offset is that of the element under this tap, vertically perhaps in the padding.
static kg_tap_list_t list_rows(const kg_conv_dims_t *dims, const uint8_t *e, int32_t v, int32_t r,
                               int32_t height, kg_tap_t *taps) {
    int32_t left = v - dims->pad_left;
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
    if (cols.first >= cols.end) {
        return (kg_tap_list_t){taps, taps};
    }
    kg_block_v6m_t block = {.values = e + r * dims->out_width + cols.first,
                            .zero = KG_ERROR_ZERO,
                            .width = cols.end - cols.first,
                            .height = height,
                            .channels = 1,
                            .step = 1,
                            .row = dims->out_width,
                            .offset = (r * dims->stride_height - dims->pad_top) * dims->in_width +
                                      left + cols.first * dims->stride_width,
                            .offset_step = dims->stride_width,
                            .offset_row = dims->stride_height * dims->in_width};
    int32_t total = 0;
    return (kg_tap_list_t){taps, kg_taps_append_v6m(&block, taps, &total)};
}

// Leaves out the errors whose partner would lie above or below a map of `plane` elements.
static kg_tap_list_t trim(kg_tap_list_t list, int32_t shift, int32_t plane) {
    while (list.first < list.end && list.first->offset + shift < 0) {
        list.first++;
    }
    while (list.first < list.end && list.end[-1].offset + shift >= plane) {
        list.end--;
    }
    return list;
}

// Adds the listed errors to row[., u, v] for all u; x is the group's.
static void add_list(const group_t *group, const uint8_t *x, int32_t v, kg_tap_list_t errors,
                     int32_t *row) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t plane = dims->in_height * dims->in_width;
    int32_t rows[KG_ROWS_V6M];
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        kg_tap_list_t inside = trim(errors, u * dims->in_width, plane);
        int32_t zero = group->quant->x_zero;
        int32_t correction = zero == 0 ? 0 : zero * kg_taps_total(inside);
        int32_t from = u * dims->in_width;
        int32_t *to = row + u * dims->kernel_width + v;
        for (int32_t i = 0; i < group->ins; i += KG_ROWS_V6M) {
            int32_t count = smaller(group->ins - i, KG_ROWS_V6M);
            for (int32_t j = 0; j < count; j++, from += plane) {
                rows[j] = from;
            }
            kg_taps_dot_v6m(inside, x, rows, count);
            for (int32_t j = 0; j < count; j++, to += group->area) {
                *to += rows[j] - correction;
            }
        }
    }
}

void kg_conv2d_u8_weight_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                      const uint8_t *e, const kg_conv_quant_t *quant,
                                      int32_t channel, int32_t *row, void *scratch) {
    group_t group = group_of(dims, quant, scratch);
    x += channel / group.outs * group.ins * dims->in_height * dims->in_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t k = 0; k < group.columns; k++) {
        row[k] = 0;
    }
    int32_t at_once = list_capacity(dims) / dims->out_width;
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        for (int32_t r = 0; r < dims->out_height; r += at_once) {
            int32_t height = smaller(dims->out_height - r, at_once);
            add_list(&group, x, v, list_rows(dims, e, v, r, height, scratch), row);
        }
    }
}

// --- input gradient ------------------------------------------------------------------------------

size_t kg_conv2d_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_input_gradient_scratch_bytes(dims);
    }
    return (size_t)(kg_conv_group_outputs(dims) * dims->kernel_height * dims->kernel_width) *
           sizeof(kg_tap_t);
}

// The outputs that read one input position, and that position counted from the start of the
// padding: rows and h one way, cols and k the other.
typedef struct {
    kg_range_t rows, cols;
    int32_t h, k;
} readers_t;

// Lists the errors of these outputs in all kept channels of the group, times their factors, and
// their sum; offsets are into w[.,0,.,.].
static kg_tap_list_t list_errors(const group_t *group, const readers_t *at, int32_t *total) {
    const kg_conv_dims_t *dims = group->dims;
    kg_block_v6m_t block = group->block;
    kg_tap_t *end = group->taps;
    *total = 0;
    if (at->rows.first >= at->rows.end || at->cols.first >= at->cols.end) {
        return (kg_tap_list_t){end, end};
    }
    block.values += at->rows.first * dims->out_width + at->cols.first;
    block.height = at->rows.end - at->rows.first;
    block.width = at->cols.end - at->cols.first;
    block.offset = (at->h - at->rows.first * dims->stride_height) * dims->kernel_width + at->k -
                   at->cols.first * dims->stride_width;
    if (group->kept == NULL) {
        turn_column(&block);
        return (kg_tap_list_t){end, kg_taps_append_v6m(&block, end, total)};
    }
    block.channels = 1;
    for (int32_t j = group->kept_outs.first; j < group->kept_outs.end; j++) {
        kg_kept_row_t row = group->kept->rows[j];
        kg_block_v6m_t one = block;
        int32_t o = row.row % group->outs;
        int32_t sum = 0;
        kg_tap_t *tap = end;
        one.values += o * block.channel;
        one.offset += o * block.offset_channel;
        end = kg_taps_append_v6m(&one, end, &sum);
        *total += sum * row.factor;
        for (; row.factor != 1 && tap < end; tap++) {
            tap->value *= row.factor;
        }
    }
    return (kg_tap_list_t){group->taps, end};
}

// One input position in all channels of a group; mask and dx start at the group and the position.
// Returns the largest |sum|.
static int32_t gather(const group_t *group, const readers_t *at, const uint8_t *mask, uint8_t *dx,
                      int32_t largest) {
    const kg_conv_dims_t *dims = group->dims;
    const kg_conv_quant_t *quant = group->quant;
    int32_t plane = dims->in_height * dims->in_width;
    int32_t total;
    int32_t rows[KG_ROWS_V6M], places[KG_ROWS_V6M];
    kg_tap_list_t list = list_errors(group, at, &total);
    int32_t base = kg_kept_half(group->kept) - quant->w_zero * total;
    int32_t place = 0, row = 0;
    for (int32_t i = 0; i < group->ins;) {
        int32_t count = 0;
        for (; i < group->ins && count < KG_ROWS_V6M; i++, place += plane, row += group->area) {
            if (mask != NULL && mask[place] <= quant->x_zero) {
                dx[place] = KG_ERROR_ZERO;
            } else {
                rows[count] = row;
                places[count++] = place;
            }
        }
        kg_taps_dot_v6m(list, group->w, rows, count);
        largest = kg_errors_v6m(rows, places, count, base, kg_kept_fraction(group->kept),
                                quant->backward, dx, largest);
    }
    return largest;
}

// All positions of a group; mask and dx start at it. Returns the largest |sum|.
static int32_t gather_all(const group_t *group, const uint8_t *mask, uint8_t *dx, int32_t largest) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t position = 0;
    readers_t at = {.rows = {0, 0}};
    for (int32_t h = 0; h < dims->in_height; h++) {
        at.h = h + dims->pad_top;
        kg_readers_advance(&at.rows, at.h, dims->kernel_height, dims->stride_height,
                           dims->out_height);
        at.cols = (kg_range_t){0, 0};
        for (int32_t k = 0; k < dims->in_width; k++, position++) {
            at.k = k + dims->pad_left;
            kg_readers_advance(&at.cols, at.k, dims->kernel_width, dims->stride_width,
                               dims->out_width);
            largest =
                gather(group, &at, mask == NULL ? NULL : mask + position, dx + position, largest);
        }
    }
    return largest;
}

int32_t kg_conv2d_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_input_gradient(dims, e, kept, w, quant, mask, dx, scratch);
    }
    int32_t plane = dims->out_height * dims->out_width;
    int32_t largest = 0;
    group_t group = group_of(dims, quant, scratch);
    group.kept = kept;
    for (int32_t g = 0; g < dims->groups; g++) {
        group.kept_outs = kg_kept_between(kept, g * group.outs, (g + 1) * group.outs);
        group.w = w + g * group.outs * group.columns;
        group.block = (kg_block_v6m_t){.values = e + g * group.outs * plane,
                                       .zero = KG_ERROR_ZERO,
                                       .channels = group.outs,
                                       .step = 1,
                                       .row = dims->out_width,
                                       .channel = plane,
                                       .offset_step = -dims->stride_width,
                                       .offset_row = -dims->stride_height * dims->kernel_width,
                                       .offset_channel = group.columns};
        int32_t at = g * group.ins * dims->in_height * dims->in_width;
        largest = gather_all(&group, mask == NULL ? NULL : mask + at, dx + at, largest);
    }
    return largest;
}
