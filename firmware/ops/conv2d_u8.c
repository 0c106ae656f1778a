// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in uint8, plain C.
//
// Each kernel first lists the operands that differ from their zero point (about half of the
// activations after a ReLU, few errors after a max-pool), then runs one inner loop over that list
// for every channel that shares it. Borders, strides and groups end in the list; the zero point of
// the other operand leaves the loop through the sum of the listed values.
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

// sum over the list of value * partner[offset], four taps at a time.
static int32_t dot(list_t list, const uint8_t *partner) {
    const tap_t *tap = list.first;
    int32_t sum = 0;
    for (; ((list.end - tap) & 3) != 0; tap++) {
        sum += tap->value * partner[tap->offset];
    }
    for (; tap < list.end; tap += 4) {
        sum += tap[0].value * partner[tap[0].offset];
        sum += tap[1].value * partner[tap[1].offset];
        sum += tap[2].value * partner[tap[2].offset];
        sum += tap[3].value * partner[tap[3].offset];
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

// Appends the values that are not zero, with offsets first, first + step, ... Returns the new end.
static tap_t *append(tap_t *end, const uint8_t *values, int32_t count, int32_t zero, int32_t first,
                     int32_t step) {
    for (int32_t j = 0; j < count; j++) {
        int32_t value = values[j] - zero;
        if (value != 0) {
            end->offset = first;
            end->value = value;
            end++;
        }
        first += step;
    }
    return end;
}

size_t kg_conv2d_u8_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)kg_conv_columns(dims) * sizeof(tap_t);
}

// Lists the window of output position (r, c) in (i, u, v) order; x starts at the group's channels.
static list_t list_window(const kg_conv_dims_t *dims, int32_t channels, const uint8_t *x,
                          int32_t zero, int32_t r, int32_t c, tap_t *taps) {
    int32_t top = r * dims->stride_height - dims->pad_top;
    int32_t left = c * dims->stride_width - dims->pad_left;
    kg_range_t us = kg_taps_inside(top, dims->kernel_height, dims->in_height);
    kg_range_t vs = kg_taps_inside(left, dims->kernel_width, dims->in_width);
    tap_t *end = taps;
    for (int32_t i = 0; i < channels; i++) {
        for (int32_t u = us.first; u < us.end; u++) {
            int32_t from = (i * dims->in_height + top + u) * dims->in_width + left + vs.first;
            int32_t offset = (i * dims->kernel_height + u) * dims->kernel_width + vs.first;
            end = append(end, x + from, vs.end - vs.first, zero, offset, 1);
        }
    }
    return (list_t){taps, end};
}

// y[o,r,c] = clamp(z_y + rq(b[o] + sum_{i,u,v} (w[o,i,u,v] - z_w) (x[i,..] - z_x)), y_min, y_max)
void kg_conv2d_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                          const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                          void *scratch) {
    int32_t columns = kg_conv_columns(dims);
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t outs = kg_conv_group_outputs(dims);
    int32_t plane = dims->out_height * dims->out_width;
    for (int32_t g = 0; g < dims->groups; g++) {
        const uint8_t *group = x + g * channels * dims->in_height * dims->in_width;
        for (int32_t at = 0, r = 0; r < dims->out_height; r++) {
            for (int32_t c = 0; c < dims->out_width; c++, at++) {
                list_t list = list_window(dims, channels, group, quant->x_zero, r, c, scratch);
                int32_t correction = quant->w_zero * total(list);
                for (int32_t o = g * outs; o < (g + 1) * outs; o++) {
                    int32_t sum = b[o] - correction + dot(list, w + o * columns);
                    sum = quant->y_zero + kg_requant(sum, quant->forward);
                    y[o * plane + at] = (uint8_t)kg_clamp(sum, quant->y_min, quant->y_max);
                }
            }
        }
    }
}

// Errors that one list of the weight gradient can hold: it takes whole rows while another one fits.
static int32_t list_capacity(const kg_conv_dims_t *dims) {
    int32_t plane = dims->out_height * dims->out_width;
    int32_t enough = plane < 128 ? plane : 128;
    return enough < dims->out_width ? dims->out_width : enough;
}

size_t kg_conv2d_u8_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)list_capacity(dims) * sizeof(tap_t);
}

// Lists the errors of the rows from *r on, as many as fit, and moves *r. The offset is that of the
// element under tap (0, v), vertically perhaps in the padding; columns whose tap is left out.
static list_t list_rows(const kg_conv_dims_t *dims, const uint8_t *e, int32_t v, int32_t *r,
                        tap_t *taps) {
    int32_t left = v - dims->pad_left;
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->in_width, dims->out_width);
    left += cols.first * dims->stride_width;
    const tap_t *last_start = taps + list_capacity(dims) - dims->out_width;
    tap_t *end = taps;
    for (; *r < dims->out_height && end <= last_start; ++*r) {
        int32_t top = *r * dims->stride_height - dims->pad_top;
        end = append(end, e + *r * dims->out_width + cols.first, cols.end - cols.first,
                     KG_ERROR_ZERO, top * dims->in_width + left, dims->stride_width);
    }
    return (list_t){taps, end};
}

// Leaves out the errors whose partner would lie above or below a map of `plane` elements.
static list_t trim(list_t list, int32_t shift, int32_t plane) {
    while (list.first < list.end && list.first->offset + shift < 0) {
        list.first++;
    }
    while (list.first < list.end && list.end[-1].offset + shift >= plane) {
        list.end--;
    }
    return list;
}

// Adds the listed errors to row[., u, v] for all u; x starts at the group's channels.
static void add_list(const kg_conv_dims_t *dims, int32_t channels, const uint8_t *x, int32_t zero,
                     int32_t v, list_t errors, int32_t *row) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        list_t inside = trim(errors, u * dims->in_width, plane);
        int32_t correction = zero == 0 ? 0 : zero * total(inside);
        const uint8_t *from = x + u * dims->in_width;
        int32_t *to = row + u * dims->kernel_width + v;
        for (int32_t i = 0; i < channels; i++, from += plane, to += taps) {
            *to += dot(inside, from) - correction;
        }
    }
}

// row[i,u,v] = sum_{r,c} (e[channel,r,c] - 128) (x[i,r*S+u-P,c*S+v-P] - z_x)
void kg_conv2d_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e,
                                  const kg_conv_quant_t *quant, int32_t channel, int32_t *row,
                                  void *scratch) {
    int32_t columns = kg_conv_columns(dims);
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t first_channel = channel / kg_conv_group_outputs(dims) * channels;
    for (int32_t k = 0; k < columns; k++) {
        row[k] = 0;
    }
    x += first_channel * dims->in_height * dims->in_width;
    e += channel * dims->out_height * dims->out_width;
    for (int32_t v = 0; v < dims->kernel_width; v++) {
        for (int32_t r = 0; r < dims->out_height;) {
            list_t errors = list_rows(dims, e, v, &r, scratch);
            add_list(dims, channels, x, quant->x_zero, v, errors, row);
        }
    }
}

size_t kg_conv2d_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)(kg_conv_group_outputs(dims) * dims->kernel_height * dims->kernel_width) *
           sizeof(tap_t);
}

// The outputs that read one input position, and that position counted from the start of the
// padding: rows and h one way, cols and k the other.
typedef struct {
    kg_range_t rows, cols;
    int32_t h, k;
} readers_t;

// Lists the errors of these outputs; e and the offsets, into w[.,0,.,.], start at the group.
static list_t list_errors(const kg_conv_dims_t *dims, int32_t outs, int32_t columns,
                          const uint8_t *e, const readers_t *readers, tap_t *taps) {
    int32_t count = readers->cols.end - readers->cols.first;
    int32_t left = readers->k - readers->cols.first * dims->stride_width;
    tap_t *end = taps;
    for (int32_t o = 0; o < outs; o++) {
        for (int32_t r = readers->rows.first; r < readers->rows.end; r++) {
            int32_t from = (o * dims->out_height + r) * dims->out_width + readers->cols.first;
            int32_t u = readers->h - r * dims->stride_height;
            int32_t offset = o * columns + u * dims->kernel_width + left;
            end = append(end, e + from, count, KG_ERROR_ZERO, offset, -dims->stride_width);
        }
    }
    return (list_t){taps, end};
}

// The input gradient of one position in all channels of a group: w, mask and dx start at the
// group, mask and dx at the position. Returns the largest |sum|.
static int32_t gather(const kg_conv_dims_t *dims, int32_t channels, list_t list, const uint8_t *w,
                      const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx) {
    int32_t correction = quant->w_zero * total(list);
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t plane = dims->in_height * dims->in_width;
    int32_t largest = 0;
    for (int32_t i = 0, at = 0; i < channels; i++, at += plane) {
        if (mask != NULL && mask[at] <= quant->x_zero) {
            dx[at] = KG_ERROR_ZERO;
            continue;
        }
        int32_t sum = dot(list, w + i * taps) - correction;
        largest = kg_largest(largest, sum);
        dx[at] = kg_error(sum, quant->backward);
    }
    return largest;
}

// dx[i,h,k] = clamp(128 + rq(sum_{o,u,v} (w[o,i,u,v] - z_w) (e[o,r,c] - 128)), 0, 255),
// 128 where mask[i,h,k] <= z_x
int32_t kg_conv2d_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e, const uint8_t *w,
                                    const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx,
                                    void *scratch) {
    int32_t columns = kg_conv_columns(dims);
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t outs = kg_conv_group_outputs(dims);
    int32_t largest = 0;
    for (int32_t g = 0; g < dims->groups; g++) {
        int32_t at = g * channels * dims->in_height * dims->in_width;
        const uint8_t *group_e = e + g * outs * dims->out_height * dims->out_width;
        const uint8_t *group_w = w + g * outs * columns;
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
                list_t list = list_errors(dims, outs, columns, group_e, &readers, scratch);
                int32_t one = gather(dims, channels, list, group_w, quant,
                                     mask == NULL ? NULL : mask + at, dx + at);
                largest = one > largest ? one : largest;
            }
        }
    }
    return largest;
}
