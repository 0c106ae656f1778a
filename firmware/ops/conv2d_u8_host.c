// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in uint8 for the host twin: the bits of conv2d_u8.c, by exact float arithmetic.
#include <string.h>

#include "ops/conv2d.h"
#include "ops/conv2d_host.h"
#include "ops/conv2d_spread_host.h"
#include "ops/depthwise_host.h"
#include "ops/error.h"
#include "ops/requant.h"

size_t kg_conv2d_u8_forward_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_spread_t spread;
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_forward_scratch_bytes(dims);
    }
    return kg_spread_forward(dims, &spread, NULL);
}

// One output channel's clamp(z_y + rq(b + sum)).
static void finish_channel(const int32_t *sums, int32_t count, int32_t b,
                           const kg_conv_quant_t *quant, uint8_t *restrict y) {
    kg_conv_quant_t q = *quant;
    for (int32_t k = 0; k < count; k++) {
        int32_t value = q.y_zero + kg_requant(b + sums[k], q.forward);
        y[k] = (uint8_t)kg_clamp(value, q.y_min, q.y_max);
    }
}

void kg_conv2d_u8_forward_host(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                               const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                               void *scratch) {
    int32_t plane = dims->out_height * dims->out_width;
    kg_spread_t spread;
    if (kg_conv_is_depthwise(dims)) {
        kg_depthwise_u8_forward_host(dims, x, w, b, quant, y, scratch);
        return;
    }
    (void)kg_spread_forward(dims, &spread, scratch);
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_spread_weights(&spread, w + g * spread.outs * kg_conv_columns(dims), quant->w_zero);
        kg_spread_run(&spread, x, quant->x_zero, NULL, g * spread.channels);
        for (int32_t o = 0; o < spread.outs; o++, y += plane) {
            finish_channel(spread.sums + o * plane, plane, *b++, quant, y);
        }
    }
}

// The converted x lies behind the row's work.
size_t kg_conv2d_u8_weight_gradient_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_row_t work;
    int32_t x_count = kg_round_up(dims->in_channels * dims->in_height * dims->in_width, 2);
    return kg_conv2d_host_row(dims, &work, NULL) + (size_t)x_count * sizeof(float);
}

// Brings every group of x into the form of the rows' work.
void kg_conv2d_u8_weight_gradient_host_prepare(const kg_conv_dims_t *dims, const uint8_t *x,
                                               const kg_conv_quant_t *quant, int32_t rows,
                                               void *scratch) {
    int32_t count = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    kg_row_t work;
    float *x_real = (float *)scratch + kg_conv2d_host_row(dims, &work, scratch) / sizeof(float);
    (void)rows;
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_to_float(x + g * count, count, quant->x_zero, x_real);
        kg_conv2d_host_row_pixels(dims, g, x_real, &work);
    }
}

// Bit k says that byte k of the word is not zero.
static uint64_t bytes_that_count(uint64_t word) {
    uint64_t high = (((word & 0x7f7f7f7f7f7f7f7fu) + 0x7f7f7f7f7f7f7f7fu) | word) >> 7;
    return (high & 0x0101010101010101u) * 0x0102040810204080u >> 56;
}

// Bit k says that e[k] is not zero; count <= 64.
static uint64_t errors_that_count(const uint8_t *e, int32_t count) {
    uint64_t found = 0;
    for (int32_t first = 0; first < count; first += 8) {
        uint64_t word = 0x0101010101010101u * KG_ERROR_ZERO;
        memcpy(&word, e + first, count - first < 8 ? (size_t)(count - first) : 8u);
        found |= bytes_that_count(word ^ 0x0101010101010101u * KG_ERROR_ZERO) << first;
    }
    return found;
}

// Lists the errors that are not zero. Few are: whole words tell where.
static int32_t list_errors(const kg_conv_dims_t *dims, const uint8_t *e, const kg_row_t *work) {
    int32_t count = dims->out_height * dims->out_width;
    kg_factor_t *end = work->factors;
    for (int32_t first = 0; first < count; first += 64) {
        int32_t part = count - first < 64 ? count - first : 64;
        for (uint64_t left = errors_that_count(e + first, part); left != 0; left &= left - 1) {
            int32_t at = first + __builtin_ctzll(left);
            *end++ = (kg_factor_t){work->offsets[at], (float)(e[at] - KG_ERROR_ZERO)};
        }
    }
    return (int32_t)(end - work->factors);
}

// Adds the row's sums to row, which is in (i, u, v) order.
static void add_sums(const kg_conv_dims_t *dims, const kg_row_t *work, int32_t *row) {
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t taps = dims->kernel_height * dims->kernel_width;
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        const float *sums = work->sums + u * work->vectors * KG_VECTOR_LANES;
        for (int32_t v = 0; v < dims->kernel_width; v++, row++) {
            for (int32_t i = 0; i < channels; i++) {
                row[i * taps] += (int32_t)*sums++;
            }
        }
    }
}

void kg_conv2d_u8_weight_gradient_host(const kg_conv_dims_t *dims, const uint8_t *x,
                                       const uint8_t *e, const kg_conv_quant_t *quant,
                                       int32_t channel, int32_t *row, void *scratch) {
    kg_row_t work;
    (void)x;
    (void)quant;
    (void)kg_conv2d_host_row(dims, &work, scratch);
    int32_t count = list_errors(dims, e + channel * dims->out_height * dims->out_width, &work);
    memset(row, 0, (size_t)kg_conv_columns(dims) * sizeof *row);
    for (int32_t first = 0; first < count; first += KG_EXACT_ERRORS) {
        int32_t left = count - first;
        kg_conv2d_host_row_sums(dims, &work, channel / kg_conv_group_outputs(dims),
                                work.factors + first,
                                left < KG_EXACT_ERRORS ? left : KG_EXACT_ERRORS);
        add_sums(dims, &work, row);
    }
}

size_t kg_conv2d_u8_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_spread_t spread;
    if (kg_conv_is_depthwise(dims)) {
        return (size_t)(dims->in_height * dims->in_width) * sizeof(int32_t);
    }
    return kg_spread_backward(dims, &spread, NULL);
}

// Writes count elements of dx. Returns the largest |sum|.
static int32_t finish_errors(const int32_t *sums, int32_t count, const kg_kept_t *kept,
                             const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx) {
    kg_requant_t factor = quant->backward;
    int32_t x_zero = quant->x_zero;
    int32_t half = kg_kept_half(kept);
    int32_t fraction = kg_kept_fraction(kept);
    int32_t largest = 0;
    for (int32_t k = 0; k < count; k++) {
        int32_t sum = mask == NULL || mask[k] > x_zero ? sums[k] : 0;
        sum = (sum + half) >> fraction;
        largest = kg_largest(largest, sum);
        dx[k] = kg_error(sum, factor);
    }
    return largest;
}

// How many products of an error times its factor and a weight stay below 2^24 together.
static int32_t exact_errors(const kg_kept_t *kept) {
    int32_t largest = 1;
    for (int32_t j = 0; j < kg_kept_count(kept, 0); j++) {
        largest = kept->rows[j].factor > largest ? kept->rows[j].factor : largest;
    }
    return KG_EXACT_ERRORS / largest;
}

// One channel after the other; those that are not kept have no error.
static int32_t depthwise_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                  const kg_kept_t *kept, const uint8_t *w,
                                  const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx,
                                  int32_t *sums) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t largest = 0;
    int32_t next = 0;  // channel
    for (int32_t j = 0; j < kg_kept_count(kept, dims->groups); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((row.row - next) * plane));
        kg_depthwise_u8_spread_host(dims, e + row.row * dims->out_height * dims->out_width,
                                    w + row.row * kg_conv_columns(dims), quant->w_zero, row.factor,
                                    sums);
        int32_t one =
            finish_errors(sums, plane, kept, quant, mask == NULL ? NULL : mask + row.row * plane,
                          dx + row.row * plane);
        largest = one > largest ? one : largest;
        next = row.row + 1;
    }
    memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((dims->groups - next) * plane));
    return largest;
}

int32_t kg_conv2d_u8_input_gradient_host(const kg_conv_dims_t *dims, const uint8_t *e,
                                         const kg_kept_t *kept, const uint8_t *w,
                                         const kg_conv_quant_t *quant, const uint8_t *mask,
                                         uint8_t *dx, void *scratch) {
    int32_t ins = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    int32_t largest = 0;
    kg_spread_t spread;
    if (kg_conv_is_depthwise(dims)) {
        return depthwise_gradient(dims, e, kept, w, quant, mask, dx, scratch);
    }
    (void)kg_spread_backward(dims, &spread, scratch);
    spread.exact = exact_errors(kept);
    for (int32_t g = 0; g < dims->groups; g++, dx += ins) {
        kg_spread_weights(&spread, w + g * spread.channels * kg_conv_columns(dims), quant->w_zero);
        kg_spread_run(&spread, e, KG_ERROR_ZERO, kept, g * spread.channels);
        int32_t one =
            finish_errors(spread.sums, ins, kept, quant, mask == NULL ? NULL : mask + g * ins, dx);
        largest = one > largest ? one : largest;
    }
    return largest;
}
