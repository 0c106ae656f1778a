// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in uint8, plain C.
//
// Each kernel first lists the operands that differ from their zero point (about half of the
// activations after a ReLU, few errors after a max-pool), then runs one inner loop over that list
// for every channel that shares it. Borders, strides and groups end in the list; the zero point of
// the other operand leaves the loop through the sum of the listed values.
// Sums stay inside int32 up to a fan-in, or an output map, of 16384 elements.
#include "ops/conv2d.h"

#include "ops/depthwise.h"
#include "ops/error.h"
#include "ops/requant.h"
#include "ops/taps_u8.h"
#include "ops/window.h"

// One group of channels: its numbers of inputs and outputs, and its part of the arrays; maps is x
// forward and e backward.
typedef struct {
    const kg_conv_dims_t *dims;
    const kg_conv_quant_t *quant;
    int32_t ins, outs, columns;
    const uint8_t *maps, *w;
    kg_tap_t *taps;
    const kg_kept_t *kept;  // backward: of the layer, and the part that is the group's
    kg_kept_range_t kept_outs;
    int32_t first_out;
} group_t;

static group_t group_of(const kg_conv_dims_t *dims, const kg_conv_quant_t *quant, void *scratch) {
    return (group_t){.dims = dims,
                     .quant = quant,
                     .ins = kg_conv_group_inputs(dims),
                     .outs = kg_conv_group_outputs(dims),
                     .columns = kg_conv_columns(dims),
                     .taps = scratch};
}

// --- forward -------------------------------------------------------------------------------------

size_t kg_conv2d_u8_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_forward_scratch_bytes(dims);
    }
    return (size_t)kg_conv_columns(dims) * sizeof(kg_tap_t);
}

// Lists the window of output position (r, c) in (i, u, v) order.
static kg_tap_list_t list_window(const group_t *group, int32_t r, int32_t c) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    kg_tap_t *end = group->taps;
    for (int32_t i = 0; i < group->ins; i++) {
        for (int32_t u = us.first; u < us.end; u++) {
            int32_t from = (i * dims->in_height + top + u) * dims->in_width + left + vs.first;
            int32_t offset = (i * dims->kernel_height + u) * dims->kernel_width + vs.first;
            end = kg_taps_append_u8(end, group->maps + from, vs.end - vs.first,
                                    group->quant->x_zero, offset, 1);
        }
    }
    return (kg_tap_list_t){group->taps, end};
}

static uint8_t finish(int32_t sum, const kg_conv_quant_t *quant) {
    int32_t value = quant->y_zero + kg_requant(sum, quant->forward);
    return (uint8_t)kg_clamp(value, quant->y_min, quant->y_max);
}

// One output position in all channels of a group; b and y start at the group, y at the position.
static void forward_position(const group_t *group, int32_t r, int32_t c, const int32_t *b,
                             uint8_t *y) {
    int32_t plane = group->dims->out_height * group->dims->out_width;
    kg_tap_list_t list = list_window(group, r, c);
    int32_t correction = group->quant->w_zero * kg_taps_total(list);
    for (int32_t o = 0; o < group->outs; o++) {
        int32_t sum = b[o] - correction + kg_taps_dot_u8(list, group->w + o * group->columns);
        y[o * plane] = finish(sum, group->quant);
    }
}

// y[o,r,c] = clamp(z_y + rq(b[o] + sum_{i,u,v} (w[o,i,u,v] - z_w) (x[i,..] - z_x)), y_min, y_max)
void kg_conv2d_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                          const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                          void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        kg_depthwise_u8_forward(dims, x, w, b, quant, y, scratch);
        return;
    }
    int32_t plane = dims->out_height * dims->out_width;
    group_t group = group_of(dims, quant, scratch);
    for (int32_t g = 0; g < dims->groups; g++, b += group.outs) {
        group.maps = x + g * group.ins * dims->in_height * dims->in_width;
        group.w = w + g * group.outs * group.columns;
        uint8_t *out = y + g * group.outs * plane;
        for (int32_t r = 0; r < dims->out_height; r++) {
            for (int32_t c = 0; c < dims->out_width; c++) {
                forward_position(&group, r, c, b, out++);
            }
        }
    }
}

// --- weight gradient -----------------------------------------------------------------------------

// Errors that one list of the weight gradient can hold: it takes whole rows while another fits.
static int32_t list_capacity(const kg_conv_dims_t *dims) {
    int32_t plane = dims->out_height * dims->out_width;
    int32_t enough = plane < 128 ? plane : 128;
    return enough < dims->out_width ? dims->out_width : enough;
}

size_t kg_conv2d_u8_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)list_capacity(dims) * sizeof(kg_tap_t);
}

// Lists the errors of the rows from *r on, as many as fit, and moves *r. The offset is that of the
// element under tap (0, v), vertically perhaps in the padding; columns whose tap is left out.
static kg_tap_list_t list_rows(const kg_conv_dims_t *dims, const uint8_t *e, int32_t v, int32_t *r,
                               kg_tap_t *taps) {
    int32_t left = v - dims->pad_left;
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
    left += cols.first * dims->stride_width;
    const kg_tap_t *last_start = taps + list_capacity(dims) - dims->out_width;
    kg_tap_t *end = taps;
    for (; *r < dims->out_height && end <= last_start; ++*r) {
        int32_t top = *r * dims->stride_height - dims->pad_top;
        end = kg_taps_append_u8(end, e + *r * dims->out_width + cols.first, cols.end - cols.first,
                                KG_ERROR_ZERO, top * dims->in_width + left, dims->stride_width);
    }
    return (kg_tap_list_t){taps, end};
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

// Adds the listed errors to row[., u, v] for all u.
static void add_list(const group_t *group, int32_t v, kg_tap_list_t errors, int32_t *row) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t zero = group->quant->x_zero;
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        kg_tap_list_t inside = trim(errors, u * dims->in_width, plane);
        int32_t correction = zero == 0 ? 0 : zero * kg_taps_total(inside);
        const uint8_t *from = group->maps + u * dims->in_width;
        int32_t *to = row + u * dims->kernel_width + v;
        for (int32_t i = 0; i < group->ins; i++, from += plane, to += taps) {
            *to += kg_taps_dot_u8(inside, from) - correction;
        }
    }
}

// row[i,u,v] = sum_{r,c} (e[channel,r,c] - 128) (x[i,r*S+u-P,c*S+v-P] - z_x)
void kg_conv2d_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e,
                                  const kg_conv_quant_t *quant, int32_t channel, int32_t *row,
                                  void *scratch) {
    group_t group = group_of(dims, quant, scratch);
    group.maps = x + channel / group.outs * group.ins * dims->in_height * dims->in_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t k = 0; k < group.columns; k++) {
        row[k] = 0;
    }
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        for (int32_t r = 0; r < dims->out_height;) {
            kg_tap_list_t errors = list_rows(dims, e, v, &r, scratch);
            add_list(&group, v, errors, row);
        }
    }
}

// --- input gradient ------------------------------------------------------------------------------

size_t kg_conv2d_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
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

// Appends the errors of these outputs in channel o of the group; offsets are into w[.,0,.,.].
static inline kg_tap_t *list_channel(const group_t *group, const readers_t *at, int32_t o,
                                     kg_tap_t *end) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t v = at->k - at->cols.first * dims->stride_width;
    for (int32_t r = at->rows.first; r < at->rows.end; r++) {
        int32_t from = (o * dims->out_height + r) * dims->out_width + at->cols.first;
        int32_t u = at->h - r * dims->stride_height;
        int32_t offset = o * group->columns + u * dims->kernel_width + v;
        end = kg_taps_append_u8(end, group->maps + from, at->cols.end - at->cols.first,
                                KG_ERROR_ZERO, offset, -dims->stride_width);
    }
    return end;
}

// Lists the errors of these outputs in all kept channels of the group, times their factors.
static kg_tap_list_t list_errors(const group_t *group, const readers_t *at) {
    kg_tap_t *end = group->taps;
    if (group->kept == NULL) {
        for (int32_t o = 0; o < group->outs; o++) {
            end = list_channel(group, at, o, end);
        }
        return (kg_tap_list_t){group->taps, end};
    }
    for (int32_t j = group->kept_outs.first; j < group->kept_outs.end; j++) {
        kg_kept_row_t row = group->kept->rows[j];
        kg_tap_t *tap = end;
        end = list_channel(group, at, row.row - group->first_out, end);
        for (; tap < end; tap++) {
            tap->value *= row.factor;
        }
    }
    return (kg_tap_list_t){group->taps, end};
}

// One input position in all channels of a group; mask and dx start at the group and the position.
// Returns the largest |sum|.
static int32_t gather(const group_t *group, const readers_t *at, const uint8_t *mask, uint8_t *dx) {
    const kg_conv_dims_t *dims = group->dims;
    const kg_conv_quant_t *quant = group->quant;
    int32_t plane = dims->in_height * dims->in_width;
    int32_t largest = 0;
    kg_tap_list_t list = list_errors(group, at);
    int32_t base = kg_kept_half(group->kept) - quant->w_zero * kg_taps_total(list);
    int32_t fraction = kg_kept_fraction(group->kept);
    for (int32_t i = 0; i < group->ins; i++) {
        if (mask != NULL && mask[i * plane] <= quant->x_zero) {
            dx[i * plane] = KG_ERROR_ZERO;
            continue;
        }
        const uint8_t *w = group->w + i * dims->kernel_height * dims->kernel_width;
        int32_t sum = (kg_taps_dot_u8(list, w) + base) >> fraction;
        largest = kg_largest(largest, sum);
        dx[i * plane] = kg_error(sum, quant->backward);
    }
    return largest;
}

// All positions of a group; mask and dx start at it. Returns the largest |sum|.
static int32_t gather_all(const group_t *group, const uint8_t *mask, uint8_t *dx) {
    const kg_conv_dims_t *dims = group->dims;
    int32_t largest = 0;
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
            int32_t one = gather(group, &at, mask == NULL ? NULL : mask + position, dx + position);
            largest = one > largest ? one : largest;
        }
    }
    return largest;
}

// dx[i,h,k] = clamp(128 + rq(sum_{o,u,v} (w[o,i,u,v] - z_w) (e[o,r,c] - 128) f[o]), 0, 255),
// 128 where mask[i,h,k] <= z_x
int32_t kg_conv2d_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                    const kg_kept_t *kept, const uint8_t *w,
                                    const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx,
                                    void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_input_gradient(dims, e, kept, w, quant, mask, dx, scratch);
    }
    int32_t largest = 0;
    group_t group = group_of(dims, quant, scratch);
    group.kept = kept;
    for (int32_t g = 0; g < dims->groups; g++) {
        group.first_out = g * group.outs;
        group.kept_outs = kg_kept_between(kept, group.first_out, group.first_out + group.outs);
        int32_t at = g * group.ins * dims->in_height * dims->in_width;
        group.maps = e + g * group.outs * dims->out_height * dims->out_width;
        group.w = w + g * group.outs * group.columns;
        int32_t one = gather_all(&group, mask == NULL ? NULL : mask + at, dx + at);
        largest = one > largest ? one : largest;
    }
    return largest;
}
