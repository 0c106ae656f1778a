// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in float32, plain C.
//
// Each kernel first lists the operands that are not zero (about half of the activations after a
// ReLU, few errors after a max-pool), then runs one inner loop over that list for every channel
// that shares it. Borders, strides and groups end in the list; its order is the order of the sums.
#include "ops/conv2d.h"

#include "ops/clamp.h"
#include "ops/depthwise.h"
#include "ops/taps_f32.h"
#include "ops/window.h"

size_t kg_conv2d_f32_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_f32_forward_scratch_bytes(dims);
    }
    return (size_t)kg_conv_columns(dims) * sizeof(kg_tap_f32_t);
}

// Lists the window of output position (r, c) in (i, u, v) order; x starts at the group's channels.
static kg_tap_list_f32_t list_window(const kg_conv_dims_t *dims, int32_t channels, const float *x,
                                     int32_t r, int32_t c, kg_tap_f32_t *taps) {
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    kg_tap_f32_t *end = taps;
    for (int32_t i = 0; i < channels; i++) {
        for (int32_t u = us.first; u < us.end; u++) {
            int32_t from = (i * dims->in_height + top + u) * dims->in_width + left + vs.first;
            int32_t offset = (i * dims->kernel_height + u) * dims->kernel_width + vs.first;
            end = kg_taps_append_f32(end, x + from, 1, vs.end - vs.first, offset, 1);
        }
    }
    return (kg_tap_list_f32_t){taps, end};
}

// y[o,r,c] = clamp(sum_{i,u,v} w[o,i,u,v] x[i,r*S+u-P,c*S+v-P] + b[o], y_min, y_max)
void kg_conv2d_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                           const float *b, float y_min, float y_max, float *y, void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        kg_depthwise_f32_forward(dims, x, w, b, y_min, y_max, y, scratch);
        return;
    }
    int32_t columns = kg_conv_columns(dims);
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t outs = kg_conv_group_outputs(dims);
    int32_t plane = dims->out_height * dims->out_width;
    for (int32_t g = 0; g < dims->groups; g++) {
        const float *group = x + g * channels * dims->in_height * dims->in_width;
        for (int32_t at = 0, r = 0; r < dims->out_height; r++) {
            for (int32_t c = 0; c < dims->out_width; c++, at++) {
                kg_tap_list_f32_t list = list_window(dims, channels, group, r, c, scratch);
                for (int32_t o = g * outs; o < (g + 1) * outs; o++) {
                    float sum = kg_taps_dot_f32(list, w + o * columns, 0.0f) + b[o];
                    y[o * plane + at] = kg_clampf(sum, y_min, y_max);
                }
            }
        }
    }
}

// Errors that one list of the weight gradient can hold: it takes whole rows while another fits.
static int32_t list_capacity(const kg_conv_dims_t *dims) {
    int32_t plane = dims->out_height * dims->out_width;
    int32_t enough = plane < 128 ? plane : 128;
    return enough < dims->out_width ? dims->out_width : enough;
}

size_t kg_conv2d_f32_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)list_capacity(dims) * sizeof(kg_tap_f32_t);
}

// Lists the errors of the rows from *r on, as many as fit, and moves *r. The offset is that of the
// element under tap (0, v), vertically perhaps in the padding; columns whose tap is left out.
static kg_tap_list_f32_t list_rows(const kg_conv_dims_t *dims, const float *e, int32_t v,
                                   int32_t *r, kg_tap_f32_t *taps) {
    int32_t left = v - dims->pad_left;
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
    left += cols.first * dims->stride_width;
    const kg_tap_f32_t *last_start = taps + list_capacity(dims) - dims->out_width;
    kg_tap_f32_t *end = taps;
    for (; *r < dims->out_height && end <= last_start; ++*r) {
        int32_t top = *r * dims->stride_height - dims->pad_top;
        end =
            kg_taps_append_f32(end, e + *r * dims->out_width + cols.first, 1, cols.end - cols.first,
                               top * dims->in_width + left, dims->stride_width);
    }
    return (kg_tap_list_f32_t){taps, end};
}

// Leaves out the errors whose partner would lie above or below a map of `plane` elements.
static kg_tap_list_f32_t trim(kg_tap_list_f32_t list, int32_t shift, int32_t plane) {
    while (list.first < list.end && list.first->offset + shift < 0) {
        list.first++;
    }
    while (list.first < list.end && list.end[-1].offset + shift >= plane) {
        list.end--;
    }
    return list;
}

// Adds the listed errors to row[., u, v] for all u; x starts at the group's channels.
static void add_list(const kg_conv_dims_t *dims, int32_t channels, const float *x, int32_t v,
                     kg_tap_list_f32_t errors, float *row) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        kg_tap_list_f32_t inside = trim(errors, u * dims->in_width, plane);
        const float *from = x + u * dims->in_width;
        float *to = row + u * dims->kernel_width + v;
        for (int32_t i = 0; i < channels; i++, from += plane, to += taps) {
            *to = kg_taps_dot_f32(inside, from, *to);
        }
    }
}

// row[i,u,v] = sum_{r,c} e[channel,r,c] x[i,r*S+u-P,c*S+v-P]
void kg_conv2d_f32_weight_gradient(const kg_conv_dims_t *dims, const float *x, const float *e,
                                   int32_t channel, float *row, void *scratch) {
    int32_t columns = kg_conv_columns(dims);
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t first_channel = channel / kg_conv_group_outputs(dims) * channels;
    for (int32_t k = 0; k < columns; k++) {
        row[k] = 0.0f;
    }
    x += first_channel * dims->in_height * dims->in_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        for (int32_t r = 0; r < dims->out_height;) {
            kg_tap_list_f32_t errors = list_rows(dims, e, v, &r, scratch);
            add_list(dims, channels, x, v, errors, row);
        }
    }
}

size_t kg_conv2d_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_f32_input_gradient_scratch_bytes(dims);
    }
    return (size_t)(kg_conv_group_outputs(dims) * dims->kernel_height * dims->kernel_width) *
           sizeof(kg_tap_f32_t);
}

// The outputs that read one input position, and that position counted from the start of the
// padding: rows and h one way, cols and k the other.
typedef struct {
    kg_range_t rows, cols;
    int32_t h, k;
} readers_t;

// The output channels of one group: e starts at the layer, offsets into w[.,0,.,.] at the group.
typedef struct {
    const kg_conv_dims_t *dims;
    const float *e;
    int32_t first, end, columns;
    const kg_kept_t *kept;      // of the layer
    kg_kept_range_t kept_outs;  // ... and the part that is the group's
} outs_t;

// Appends the errors of these outputs in channel o in (u, v) order, so the last position first.
static inline kg_tap_f32_t *list_channel(const outs_t *outs, const readers_t *readers, int32_t o,
                                         kg_tap_f32_t *end) {
    const kg_conv_dims_t *dims = outs->dims;
    int32_t count = readers->cols.end - readers->cols.first;
    int32_t last = readers->cols.end - 1;
    int32_t v = readers->k - last * dims->stride_width;
    for (int32_t r = readers->rows.end - 1; r >= readers->rows.first; r--) {
        int32_t from = (o * dims->out_height + r) * dims->out_width + last;
        int32_t u = readers->h - r * dims->stride_height;
        int32_t offset = (o - outs->first) * outs->columns + u * dims->kernel_width + v;
        end = kg_taps_append_f32(end, outs->e + from, -1, count, offset, dims->stride_width);
    }
    return end;
}

// Lists the errors of these outputs in all kept channels of the group, times their factors.
static kg_tap_list_f32_t list_errors(const outs_t *outs, const readers_t *readers,
                                     kg_tap_f32_t *taps) {
    kg_tap_f32_t *end = taps;
    if (outs->kept == NULL) {
        for (int32_t o = outs->first; o < outs->end; o++) {
            end = list_channel(outs, readers, o, end);
        }
        return (kg_tap_list_f32_t){taps, end};
    }
    for (int32_t j = outs->kept_outs.first; j < outs->kept_outs.end; j++) {
        kg_kept_row_t row = outs->kept->rows[j];
        float scale = kg_kept_scale(outs->kept, row);
        kg_tap_f32_t *tap = end;
        end = list_channel(outs, readers, row.row, end);
        for (; tap < end; tap++) {
            tap->value *= scale;
        }
    }
    return (kg_tap_list_f32_t){taps, end};
}

// The input gradient of one position in all channels of a group: w, mask and dx start at the
// group, mask and dx at the position.
static void gather(const kg_conv_dims_t *dims, int32_t channels, kg_tap_list_f32_t list,
                   const float *w, const float *mask, float *dx) {
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t plane = dims->in_height * dims->in_width;
    for (int32_t i = 0, at = 0; i < channels; i++, at += plane) {
        if (mask != NULL && mask[at] <= 0.0f) {
            dx[at] = 0.0f;
        } else {
            dx[at] = kg_taps_dot_f32(list, w + i * taps, 0.0f);
        }
    }
}

// dx[i,h,k] = sum_{o,u,v} w[o,i,u,v] (e[o,r,c] f[o]), 0 where mask[i,h,k] <= 0
void kg_conv2d_f32_input_gradient(const kg_conv_dims_t *dims, const float *e, const kg_kept_t *kept,
                                  const float *w, const float *mask, float *dx, void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        kg_depthwise_f32_input_gradient(dims, e, kept, w, mask, dx, scratch);
        return;
    }
    int32_t columns = kg_conv_columns(dims);
    int32_t channels = kg_conv_group_inputs(dims);
    outs_t outs = {.dims = dims, .e = e, .columns = columns, .kept = kept};
    for (int32_t g = 0; g < dims->groups; g++) {
        int32_t at = g * channels * dims->in_height * dims->in_width;
        const float *group_w = w + outs.end * columns;
        outs.first = outs.end;
        outs.end += kg_conv_group_outputs(dims);
        outs.kept_outs = kg_kept_between(kept, outs.first, outs.end);
        readers_t readers = {.rows = {0, 0}};
        for (int32_t h = 0; h < dims->in_height; h++) {
            readers.h = h + dims->pad_top;
            kg_readers_advance(&readers.rows, readers.h, dims->kernel_height, dims->stride_height,
                               dims->out_height);
            readers.cols = (kg_range_t){0, 0};
            for (int32_t k = 0; k < dims->in_width; k++, at++) {
                readers.k = k + dims->pad_left;
                kg_readers_advance(&readers.cols, readers.k, dims->kernel_width, dims->stride_width,
                                   dims->out_width);
                kg_tap_list_f32_t list = list_errors(&outs, &readers, scratch);
                gather(dims, channels, list, group_w, mask == NULL ? NULL : mask + at, dx + at);
            }
        }
    }
}
