// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in uint8, plain C.
//
// Each kernel first lists the operands that differ from their zero point (about half of the activations after a
// ReLU, few errors after a max-pool), then runs one inner loop over that list. Borders, strides and groups end in the
// list; the zero point of the other operand leaves the loop through the sum of the listed values.
// Sums stay inside int32 up to a fan-in, or an output map, of 16384 elements.
#include "ops/conv2d.h"

#include "ops/error.h"
#include "ops/requant.h"
#include "ops/window.h"

// A listed operand: its value, and where its partner is, relative to a base.
typedef struct {
    int32_t offset;
    int32_t value;
} tap_t;

typedef struct {
    const tap_t *first;
    const tap_t *end;
} list_t;

static int32_t dot(list_t list, const uint8_t *partner, int32_t base) {
    int32_t sum = 0;
    for (const tap_t *tap = list.first; tap < list.end; tap++) {
        sum += tap->value * partner[base + tap->offset];
    }
    return sum;
}

static int32_t total(list_t list) {
    int32_t sum = 0;
    for (const tap_t *tap = list.first; tap < list.end; tap++) {
        sum += tap->value;
    }
    return sum;
}

size_t kg_conv2d_u8_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)kg_conv_columns(dims) * sizeof(tap_t);
}

// Lists the window of output position (r, c), in (i, u, v) order; x is the map of the group's first channel.
static list_t list_window(const kg_conv_dims_t *dims, const uint8_t *x, int32_t zero, int32_t r, int32_t c,
                          tap_t *taps) {
    tap_t *tap = taps;
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    for (int32_t i = 0; i < dims->in_channels / dims->groups; i++) {
        for (int32_t u = us.first; u < us.end; u++) {
            int32_t from = (i * dims->in_height + top + u) * dims->in_width + left;
            int32_t offset = (i * dims->kernel_height + u) * dims->kernel_width;
            for (int32_t v = vs.first; v < vs.end; v++) {
                tap->offset = offset + v;
                tap->value = x[from + v] - zero;
                tap += tap->value != 0;
            }
        }
    }
    return (list_t){taps, tap};
}

// y[o,r,c] = clamp(z_y + rq(b[o] + sum_{i,u,v} (w[o,i,u,v] - z_w) (x[i,r*S+u-P,c*S+v-P] - z_x)), y_min, y_max)
void kg_conv2d_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w, const int32_t *b,
                          const kg_conv_quant_t *quant, uint8_t *y, void *scratch) {
    int32_t columns = kg_conv_columns(dims);
    int32_t outs = dims->out_channels / dims->groups;
    int32_t in_group = dims->in_channels / dims->groups * dims->in_height * dims->in_width;
    int32_t plane = dims->out_height * dims->out_width;
    for (int32_t g = 0; g < dims->groups; g++) {
        for (int32_t r = 0; r < dims->out_height; r++) {
            for (int32_t c = 0; c < dims->out_width; c++) {
                list_t list = list_window(dims, x + g * in_group, quant->x_zero, r, c, scratch);
                int32_t correction = quant->w_zero * total(list);
                for (int32_t o = g * outs; o < (g + 1) * outs; o++) {
                    int32_t sum = b[o] - correction + dot(list, w, o * columns);
                    sum = quant->y_zero + kg_requant(sum, quant->forward);
                    y[o * plane + r * dims->out_width + c] =
                        (uint8_t)kg_clamp(sum, quant->y_min, quant->y_max);
                }
            }
        }
    }
}

size_t kg_conv2d_u8_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_width * sizeof(tap_t);
}

// Lists one row of errors; the offset is the input column under the window's tap 0, negative in the padding.
static list_t list_error_row(const kg_conv_dims_t *dims, const uint8_t *e, tap_t *taps) {
    tap_t *tap = taps;
    for (int32_t c = 0; c < dims->out_width; c++) {
        tap->offset = c * dims->stride_width - dims->pad_left;
        tap->value = e[c] - KG_ERROR_ZERO;
        tap += tap->value != 0;
    }
    return (list_t){taps, tap};
}

// Leaves out the errors whose tap v lies in the padding.
static list_t trim(list_t list, int32_t v, int32_t in_width) {
    while (list.first < list.end && list.first->offset + v < 0) {
        list.first++;
    }
    while (list.first < list.end && list.end[-1].offset + v >= in_width) {
        list.end--;
    }
    return list;
}

// row[i,u,v] = sum_{r,c} (e[channel,r,c] - 128) (x[i,r*S+u-P,c*S+v-P] - z_x)
void kg_conv2d_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e,
                                  const kg_conv_quant_t *quant, int32_t channel, int32_t *row, void *scratch) {
    int32_t channels = dims->in_channels / dims->groups;
    int32_t first_channel = channel / (dims->out_channels / dims->groups) * channels;
    for (int32_t k = 0; k < kg_conv_columns(dims); k++) {
        row[k] = 0;
    }
    for (int32_t r = 0; r < dims->out_height; r++) {
        int32_t top = r * dims->stride_height - dims->pad_top;
        kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
        list_t errors = list_error_row(dims, e + (channel * dims->out_height + r) * dims->out_width, scratch);
        for (int32_t v = 0; v < dims->kernel_width && errors.first < errors.end; v++) {
            list_t inside = trim(errors, v, dims->in_width);
            int32_t correction = quant->x_zero * total(inside);
            for (int32_t i = 0; i < channels; i++) {
                for (int32_t u = us.first; u < us.end; u++) {
                    int32_t base = ((first_channel + i) * dims->in_height + top + u) * dims->in_width + v;
                    row[(i * dims->kernel_height + u) * dims->kernel_width + v] += dot(inside, x, base) - correction;
                }
            }
        }
    }
}

size_t kg_conv2d_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)(dims->out_channels / dims->groups * dims->kernel_height * dims->kernel_width) * sizeof(tap_t);
}

// Lists the errors of the group's outputs (o from first_out) that read the input position (h, k), counted from the
// start of the padding; rows and cols are the outputs that read it. The offset is the weight's in w[.,0,.,.].
static list_t list_readers(const kg_conv_dims_t *dims, const uint8_t *e, int32_t first_out, int32_t h, int32_t k,
                           kg_range_t rows, kg_range_t cols, tap_t *taps) {
    tap_t *tap = taps;
    int32_t columns = kg_conv_columns(dims);
    for (int32_t o = first_out; o < first_out + dims->out_channels / dims->groups; o++) {
        for (int32_t r = rows.first; r < rows.end; r++) {
            const uint8_t *from = e + (o * dims->out_height + r) * dims->out_width;
            int32_t offset = o * columns + (h - r * dims->stride_height) * dims->kernel_width + k;
            for (int32_t c = cols.first; c < cols.end; c++) {
                tap->offset = offset - c * dims->stride_width;
                tap->value = from[c] - KG_ERROR_ZERO;
                tap += tap->value != 0;
            }
        }
    }
    return (list_t){taps, tap};
}

// dx[i,h,k] = clamp(128 + rq(sum_{o,u,v} (w[o,i,u,v] - z_w) (e[o,r,c] - 128)), 0, 255), 128 where mask[i,h,k] <= z_x
int32_t kg_conv2d_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e, const uint8_t *w,
                                    const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx, void *scratch) {
    int32_t channels = dims->in_channels / dims->groups;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t plane = dims->in_height * dims->in_width;
    int32_t largest = 0;
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_range_t rows = {0, 0};
        for (int32_t h = 0; h < dims->in_height; h++) {
            kg_range_t cols = {0, 0};
            kg_readers_advance(&rows, h + dims->pad_top, dims->kernel_height, dims->stride_height, dims->out_height);
            for (int32_t k = 0; k < dims->in_width; k++) {
                kg_readers_advance(&cols, k + dims->pad_left, dims->kernel_width, dims->stride_width,
                                   dims->out_width);
                list_t list = list_readers(dims, e, g * (dims->out_channels / dims->groups), h + dims->pad_top,
                                           k + dims->pad_left, rows, cols, scratch);
                int32_t correction = quant->w_zero * total(list);
                for (int32_t i = 0; i < channels; i++) {
                    int32_t at = (g * channels + i) * plane + h * dims->in_width + k;
                    if (mask != NULL && mask[at] <= quant->x_zero) {
                        dx[at] = KG_ERROR_ZERO;
                        continue;
                    }
                    int32_t sum = dot(list, w, i * taps) - correction;
                    largest = kg_largest(largest, sum);
                    dx[at] = kg_error(sum, quant->backward);
                }
            }
        }
    }
    return largest;
}
