// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in uint8 for Cortex-M0+: the lists of conv2d_u8.c, each against two rows at a
// time (taps_v6m.h).
#include "ops/conv2d.h"
#include "ops/depthwise.h"
#include "ops/error.h"
#include "ops/matrix_v6m.h"
#include "ops/window.h"

// One group of channels: its numbers of inputs and outputs, its weights, and the maps that lists
// are made of: x forward and e backward. Blocks and matrix change from position to position only in
// where they are.
typedef struct {
    const kg_conv_dims_t *dims;
    int32_t ins, outs, columns, area;
    const uint8_t *maps;
    kg_tap_t *taps;
    kg_block_v6m_t block, pair_block;
    kg_matrix_v6m_t matrix;
    int32_t first_out;
} group_t;

static group_t group_of(const kg_conv_dims_t *dims, void *scratch) {
    return (group_t){.dims = dims,
                     .ins = kg_conv_group_inputs(dims),
                     .outs = kg_conv_group_outputs(dims),
                     .columns = kg_conv_columns(dims),
                     .area = dims->kernel_height * dims->kernel_width,
                     .taps = scratch};
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

// Whether less than a quarter of the values is zero, judged by one in 17.
static bool is_dense(const uint8_t *values, int32_t count, int32_t zero) {
    const uint8_t *end = values + count;
    int32_t zeros = 0, seen = 0;
    for (; values < end; values += 17, seen++) {
        zeros += *values == zero;
    }
    return zeros * 4 < seen;
}

// --- forward -------------------------------------------------------------------------------------

// Few products at each position do not pay for a list of its own: then weights are listed.
static bool lists_weights(const kg_conv_dims_t *dims) {
    return kg_conv_columns(dims) * kg_conv_group_outputs(dims) <= 144;
}

static bool forward_has_pairs(const kg_conv_dims_t *dims) {
    return kg_pairs_pay_v6m(kg_conv_group_outputs(dims), kg_conv_columns(dims));
}

size_t kg_conv2d_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    int32_t columns = kg_conv_columns(dims);
    int32_t outs = kg_conv_group_outputs(dims);
    size_t taps = (size_t)columns * sizeof(kg_tap_t);
    if (lists_weights(dims) || !forward_has_pairs(dims)) {
        return taps;
    }
    size_t pairs = (size_t)(kg_pairs_round_v6m(outs) * columns) * sizeof(uint16_t);
    return taps + (size_t)outs * sizeof(int32_t) + pairs;
}

// Where few inputs are zero, whole windows are listed as they are, and other biases make up for
// x_zero: then no value is negative, and one list is enough.
typedef struct {
    group_t group;
    const int32_t *biases;
    const int32_t *whole_biases;  // NULL: zeros are left out of all windows
} forward_t;

// Lists the window of output position (r, c), and gives the biases that go with it.
static kg_split_v6m_t list_window(forward_t *forward, int32_t r, int32_t c,
                                  const int32_t **biases) {
    group_t *group = &forward->group;
    const kg_conv_dims_t *dims = group->dims;
    kg_block_v6m_t *block = &group->block;
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    kg_split_v6m_t list = kg_split_start_v6m(group->taps, group->columns);
    *biases = forward->biases;
    if (us.first >= us.end || vs.first >= vs.end) {
        return list;
    }
    block->values = group->maps + (top + us.first) * dims->in_width + left + vs.first;
    block->zero = group->matrix.quant->x_zero;
    if (group->area != 1) {
        block->width = vs.end - vs.first;
        block->height = us.end - us.first;
        block->offset = us.first * block->offset_row + vs.first * block->offset_step;
    }
    if (forward->whole_biases != NULL &&
        (group->area == 1 || block->width * block->height == group->area)) {
        block->zero = 0;
        *biases = forward->whole_biases;
    }
    if (group->matrix.pairs != NULL && block->zero != 0) {
        kg_taps_split_v6m(block, &list);
    } else {
        list.end = kg_taps_append_v6m(block, list.end, &list.total);
    }
    return list;
}

// All positions of a group; y starts at it.
static void forward_positions(forward_t *forward, uint8_t *y) {
    const kg_conv_dims_t *dims = forward->group.dims;
    for (int32_t r = 0; r < dims->out_height; r++) {
        for (int32_t c = 0; c < dims->out_width; c++) {
            const int32_t *biases;
            kg_split_v6m_t list = list_window(forward, r, c, &biases);
            kg_matrix_outputs_v6m(&forward->group.matrix, &list, biases, y++);
        }
    }
}

// biases[o] = b[o] - x_zero sum_k (w[o,k] - z_w)
static void add_zeros(const group_t *group, const int32_t *b, int32_t *biases) {
    const uint8_t *w = group->matrix.w;
    for (int32_t o = 0; o < group->outs; o++, w += group->columns) {
        int32_t sum = -group->columns * group->matrix.quant->w_zero;
        for (int32_t k = 0; k < group->columns; k++) {
            sum += w[k];
        }
        biases[o] = b[o] - group->matrix.quant->x_zero * sum;
    }
}

void kg_conv2d_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch) {
    if (lists_weights(dims)) {
        kg_depthwise_u8_forward_v6m(dims, x, w, b, quant, y, scratch);
        return;
    }
    int32_t plane = dims->out_height * dims->out_width;
    int32_t in_plane = dims->in_height * dims->in_width;
    forward_t forward = {.group = group_of(dims, scratch)};
    group_t *group = &forward.group;
    int32_t *biases = (int32_t *)(group->taps + group->columns);
    uint16_t *pairs = forward_has_pairs(dims) ? (uint16_t *)(biases + group->outs) : NULL;
    int32_t unit = pairs != NULL ? 2 * kg_pairs_round_v6m(group->outs) : 1;  // of offsets
    for (int32_t g = 0; g < dims->groups; g++, b += group->outs) {
        group->matrix = (kg_matrix_v6m_t){.quant = quant,
                                          .w = w + g * group->outs * group->columns,
                                          .row = group->columns,
                                          .count = group->outs,
                                          .step = plane,
                                          .pairs = pairs};
        group->maps = x + g * group->ins * in_plane;
        group->block = (kg_block_v6m_t){.width = 1,
                                        .height = 1,
                                        .channels = group->ins,
                                        .step = 1,
                                        .row = dims->in_width,
                                        .channel = in_plane,
                                        .offset_step = unit,
                                        .offset_row = dims->kernel_width * unit,
                                        .offset_channel = group->area * unit};
        if (group->area == 1) {
            kg_block_turn_v6m(&group->block);
        }
        bool whole = pairs != NULL && quant->x_zero != 0 &&
                     is_dense(group->maps, group->ins * in_plane, quant->x_zero);
        if (pairs != NULL) {
            kg_pairs_pack_v6m(group->matrix.w, group->outs, group->columns, group->columns, pairs);
        }
        if (whole) {
            add_zeros(group, b, biases);
        }
        forward.biases = b;
        forward.whole_biases = whole ? biases : NULL;
        forward_positions(&forward, y + g * group->outs * plane);
    }
}

// --- weight gradient -----------------------------------------------------------------------------

// Few inputs share a list of errors: it should serve all taps at once, where the border is small.
static bool lists_serve_all_taps(const kg_conv_dims_t *dims) {
    return kg_conv_group_inputs(dims) <= 2 && dims->out_height * dims->out_width >= 192;
}

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
static void add_list(const group_t *group, const uint8_t *x, int32_t x_zero, int32_t v,
                     kg_tap_list_t errors, int32_t *row) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t plane = dims->in_height * dims->in_width;
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        kg_tap_list_t inside = trim(errors, u * dims->in_width, plane);
        int32_t base = x_zero == 0 ? 0 : -x_zero * kg_taps_total(inside);
        kg_maps_sums_v6m(inside, x + u * dims->in_width, plane, group->ins, base,
                         row + u * dims->kernel_width + v, group->area);
    }
}

void kg_conv2d_u8_weight_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                      const uint8_t *e, const kg_conv_quant_t *quant,
                                      int32_t channel, int32_t *row, void *scratch) {
    group_t group = group_of(dims, scratch);
    x += channel / group.outs * group.ins * dims->in_height * dims->in_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t k = 0; k < group.columns; k++) {
        row[k] = 0;
    }
    if (lists_serve_all_taps(dims)) {
        kg_channel_u8_weight_gradient_v6m(dims, x, e, quant->x_zero, list_capacity(dims), row,
                                          scratch);
        return;
    }
    int32_t at_once = list_capacity(dims) / dims->out_width;
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        for (int32_t r = 0; r < dims->out_height; r += at_once) {
            int32_t height = smaller(dims->out_height - r, at_once);
            kg_tap_list_t errors = list_rows(dims, e, v, r, height, scratch);
            add_list(&group, x, quant->x_zero, v, errors, row);
        }
    }
}

// --- input gradient ------------------------------------------------------------------------------

static bool gradient_has_pairs(const kg_conv_dims_t *dims) {
    return kg_pairs_pay_v6m(kg_conv_group_inputs(dims),
                            kg_conv_group_outputs(dims) * dims->kernel_height * dims->kernel_width);
}

// Bytes of a column of pairs.
static int32_t pair_bytes(const group_t *group) {
    return 2 * kg_pairs_round_v6m(group->ins);
}

size_t kg_conv2d_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_input_gradient_v6m_scratch_bytes(dims);
    }
    int32_t taps = kg_conv_group_outputs(dims) * dims->kernel_height * dims->kernel_width;
    int32_t pairs =
        gradient_has_pairs(dims) ? kg_pairs_round_v6m(kg_conv_group_inputs(dims)) * taps : 0;
    return (size_t)taps * sizeof(kg_tap_t) + (size_t)pairs * sizeof(uint16_t);
}

// The outputs that read one input position, and that position counted from the start of the
// padding: rows and h one way, cols and k the other.
typedef struct {
    kg_range_t rows, cols;
    int32_t h, k;
} readers_t;

// Lists the errors of these outputs in all kept channels of the group, times their factors; offsets
// are into w[.,0,.,.], or the pairs of these.
static kg_split_v6m_t list_errors(group_t *group, const readers_t *at, bool pairs) {
    const kg_conv_dims_t *dims = group->dims;
    kg_block_v6m_t *block = pairs ? &group->pair_block : &group->block;
    kg_split_v6m_t list = kg_split_start_v6m(group->taps, group->outs * group->area);
    if (at->rows.first >= at->rows.end || at->cols.first >= at->cols.end) {
        return list;
    }
    block->values = group->maps + at->rows.first * dims->out_width + at->cols.first;
    if (group->area != 1) {
        int32_t tap = (at->h - at->rows.first * dims->stride_height) * dims->kernel_width + at->k -
                      at->cols.first * dims->stride_width;
        block->height = at->rows.end - at->rows.first;
        block->width = at->cols.end - at->cols.first;
        block->offset = pairs ? tap * pair_bytes(group) : tap;
    }
    if (pairs) {
        kg_taps_split_v6m(block, &list);
    } else {
        list.end = kg_taps_append_kept_v6m(block, group->matrix.kept, group->first_out, list.end,
                                           &list.total);
    }
    return list;
}

// Pairs do masked rows in vain: they pay while two thirds of the rows are not masked.
static bool wants_pairs(const group_t *group, const uint8_t *mask) {
    const kg_matrix_v6m_t *matrix = &group->matrix;
    if (matrix->pairs == NULL || mask == NULL) {
        return matrix->pairs != NULL;
    }
    int32_t on = 0;
    for (int32_t i = 0; i < group->ins; i++, mask += matrix->step) {
        on += *mask > matrix->quant->x_zero;
    }
    return on * 3 >= group->ins * 2;
}

// One input position in all channels of a group; mask and dx start at it. Returns the largest
// |sum|, at least `largest`.
static int32_t gather(group_t *group, const readers_t *at, const uint8_t *mask, uint8_t *dx,
                      int32_t largest) {
    bool pairs = wants_pairs(group, mask);
    kg_split_v6m_t list = list_errors(group, at, pairs);
    if (pairs) {
        return kg_matrix_pair_errors_v6m(&group->matrix, &list, mask, dx, largest);
    }
    return kg_matrix_errors_v6m(&group->matrix, &list, mask, dx, largest);
}

// All positions of a group; mask and dx start at it. Returns the largest |sum|.
static int32_t gather_all(group_t *group, const uint8_t *mask, uint8_t *dx, int32_t largest) {
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

// Sets the way through the errors of a group; partners are `unit` bytes apart, those of the next
// channel `channel`.
static void set_block(const group_t *group, kg_block_v6m_t *block, int32_t unit, int32_t channel) {
    const kg_conv_dims_t *dims = group->dims;
    *block = (kg_block_v6m_t){.zero = KG_ERROR_ZERO,
                              .width = 1,
                              .height = 1,
                              .channels = group->outs,
                              .step = 1,
                              .row = dims->out_width,
                              .channel = dims->out_height * dims->out_width,
                              .offset_step = -dims->stride_width * unit,
                              .offset_row = -dims->stride_height * dims->kernel_width * unit,
                              .offset_channel = channel};
    if (group->area == 1 && group->matrix.kept == NULL) {
        kg_block_turn_v6m(block);
    }
}

int32_t kg_conv2d_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_input_gradient_v6m(dims, e, kept, w, quant, mask, dx, scratch);
    }
    int32_t plane = dims->out_height * dims->out_width;
    int32_t largest = 0;
    group_t group = group_of(dims, scratch);
    bool dense = kept == NULL && gradient_has_pairs(dims) &&
                 is_dense(e, dims->out_channels * plane, KG_ERROR_ZERO);
    uint16_t *pairs = dense ? (uint16_t *)(group.taps + group.outs * group.area) : NULL;
    for (int32_t g = 0; g < dims->groups; g++) {
        const uint8_t *weights = w + g * group.outs * group.columns;
        group.first_out = g * group.outs;
        group.maps = e + g * group.outs * plane;
        group.matrix = (kg_matrix_v6m_t){.quant = quant,
                                         .w = weights,
                                         .row = group.area,
                                         .count = group.ins,
                                         .step = dims->in_height * dims->in_width,
                                         .pairs = pairs,
                                         .kept = kept};
        set_block(&group, &group.block, 1, group.columns);
        if (pairs != NULL) {
            set_block(&group, &group.pair_block, pair_bytes(&group),
                      group.area * pair_bytes(&group));
            for (int32_t o = 0; o < group.outs; o++) {
                kg_pairs_pack_v6m(weights + o * group.columns, group.ins, group.area, group.area,
                                  pairs + o * group.area * kg_pairs_round_v6m(group.ins));
            }
        }
        int32_t at = g * group.ins * dims->in_height * dims->in_width;
        largest = gather_all(&group, mask == NULL ? NULL : mask + at, dx + at, largest);
    }
    return largest;
}
