// SPDX-License-Identifier: Apache-2.0
// Input gradient of depthwise convolution in uint8 for Cortex-M4 and M7: the bits of
// depthwise_u8.c.
//
// Every error that is not zero adds its multiple of the kernel to the rows of sums that it reaches;
// a row is finished when no later error reaches it, and costs next to nothing when none has.
#include <string.h>

#include "ops/depthwise.h"
#include "ops/dsp.h"
#include "ops/error.h"
#include "ops/rounding_dsp.h"

#define NO_ERRORS 0x80808080u  // four of them

// One channel: its part of the arrays, and what lies in scratch.
typedef struct {
    const kg_conv_dims_t *dims;
    const kg_conv_quant_t *quant;
    kg_rounding_t rounding;
    int32_t fraction, half;
    const uint8_t *e, *mask;
    uint8_t *dx;
    int32_t width;     // of a row of sums: with what sticks out on both sides
    int32_t *weights;  // less their zero point, times the factor of the channel's errors
    int32_t *touched;  // of rows of sums in turn: whether they hold any
    int32_t *sums;
} channel_t;

static size_t lay_out(const kg_conv_dims_t *dims, channel_t *channel, int32_t *scratch) {
    int32_t taps = dims->kernel_height * dims->kernel_width;
    int32_t reach = (dims->out_width - 1) * dims->stride_width + dims->kernel_width;
    channel->width = dims->pad_left + dims->in_width;
    channel->width = channel->width < reach ? reach : channel->width;
    channel->weights = scratch;
    channel->touched = scratch + taps;
    channel->sums = channel->touched + dims->kernel_height;
    int32_t count = taps + dims->kernel_height * (1 + channel->width);
    return (size_t)count * sizeof(int32_t);
}

size_t kg_depthwise_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    channel_t channel;
    return lay_out(dims, &channel, NULL);
}

// A row of errors, read through one row of taps; sums: what its column 0 reaches first.
typedef struct {
    const uint8_t *e, *end;
    const int32_t *weights;
    int32_t width, stride;
    int32_t *sums;
} row_t;

// Not inlined: what surrounds it would spill its registers.
__attribute__((noinline)) static void spread_three(row_t row) {
    int32_t weight0 = row.weights[0];
    int32_t weight1 = row.weights[1];
    int32_t weight2 = row.weights[2];
    int32_t stride = row.stride;
    int32_t *sums = row.sums;
    for (const uint8_t *e = row.e; e < row.end; e++, sums += stride) {
        int32_t error = *e - KG_ERROR_ZERO;
        if (error != 0) {
            int32_t sum0 = sums[0] + error * weight0;
            int32_t sum1 = sums[1] + error * weight1;
            int32_t sum2 = sums[2] + error * weight2;
            sums[0] = sum0;
            sums[1] = sum1;
            sums[2] = sum2;
        }
    }
}

static void spread_any(row_t row) {
    for (const uint8_t *e = row.e; e < row.end; e++, row.sums += row.stride) {
        int32_t error = *e - KG_ERROR_ZERO;
        for (int32_t v = 0; v < row.width && error != 0; v++) {
            row.sums[v] += error * row.weights[v];
        }
    }
}

static bool has_errors(const uint8_t *e, int32_t count) {
    for (; count >= 4; count -= 4, e += 4) {
        if (kg_load_word(e) != NO_ERRORS) {
            return true;
        }
    }
    for (; count > 0; count--) {
        if (*e++ != KG_ERROR_ZERO) {
            return true;
        }
    }
    return false;
}

// All taps of row r.
static void spread(const channel_t *channel, int32_t r) {
    const kg_conv_dims_t *dims = channel->dims;
    const uint8_t *e = channel->e + r * dims->out_width;
    row_t row = {.e = e, .end = e + dims->out_width};
    row.width = dims->kernel_width;
    row.stride = dims->stride_width;
    int32_t top = r * dims->stride_height - dims->pad_top;
    if (!has_errors(e, dims->out_width)) {
        return;
    }
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        int32_t h = top + u;
        if (h >= 0 && h < dims->in_height) {
            int32_t slot = h % dims->kernel_height;
            channel->touched[slot] = 1;
            row.weights = channel->weights + u * dims->kernel_width;
            row.sums = channel->sums + slot * channel->width;
            if (row.width == 3) {
                spread_three(row);
            } else {
                spread_any(row);
            }
        }
    }
}

// Writes a row. Returns the largest |sum|. Not inlined, as above.
__attribute__((noinline)) static int32_t round_row(const channel_t *channel, const int32_t *sums,
                                                   const uint8_t *mask, uint8_t *dx) {
    kg_requant_t factor = channel->rounding.factor;
    int32_t half = channel->half;
    int32_t fraction = channel->fraction;
    int32_t zero = channel->quant->x_zero;
    int32_t largest = 0;
    for (const uint8_t *end = dx + channel->dims->in_width; dx < end; dx++) {
        int32_t sum = (*sums++ + half) >> fraction;
        int32_t error = KG_ERROR_ZERO;
        if (mask == NULL || *mask++ > zero) {
            largest = kg_largest(largest, sum);
            error = kg_error(sum, factor);
        }
        *dx = (uint8_t)error;
    }
    return largest;
}

// The same with fast rounding.
__attribute__((noinline)) static int32_t
round_row_fast(const channel_t *channel, const int32_t *sums, const uint8_t *mask, uint8_t *dx) {
    int32_t multiplier = channel->rounding.multiplier;
    int32_t offset = channel->rounding.offset;
    int32_t shift = channel->rounding.shift;
    int32_t half = channel->half;
    int32_t fraction = channel->fraction;
    int32_t zero = channel->quant->x_zero;
    int32_t largest = 0;
    for (const uint8_t *end = dx + channel->dims->in_width; dx < end; dx++) {
        int32_t sum = (*sums++ + half) >> fraction;
        int32_t error = KG_ERROR_ZERO;
        if (mask == NULL || *mask++ > zero) {
            int32_t sign = sum >> 31;
            int32_t size = (sum ^ sign) - sign;
            largest = size > largest ? size : largest;
            error = kg_clamp(kg_smmla(sum, multiplier, offset) >> shift, 0, 255);
        }
        *dx = (uint8_t)error;
    }
    return largest;
}

// Writes row h from its sums, and clears these. Returns the largest |sum|.
static int32_t finish_row(const channel_t *channel, int32_t h) {
    int32_t slot = h % channel->dims->kernel_height;
    int32_t width = channel->dims->in_width;
    uint8_t *dx = channel->dx + h * width;
    const uint8_t *mask = channel->mask == NULL ? NULL : channel->mask + h * width;
    int32_t *row = channel->sums + slot * channel->width;
    const int32_t *sums = row + channel->dims->pad_left;
    if (!channel->touched[slot]) {
        memset(dx, KG_ERROR_ZERO, (size_t)width);
        return 0;
    }
    int32_t largest = channel->rounding.fast ? round_row_fast(channel, sums, mask, dx)
                                             : round_row(channel, sums, mask, dx);
    memset(row, 0, (size_t)channel->width * sizeof *row);
    channel->touched[slot] = 0;
    return largest;
}

// All rows. Returns the largest |sum|.
static int32_t spread_channel(const channel_t *channel) {
    const kg_conv_dims_t *dims = channel->dims;
    int32_t largest = 0;
    int32_t next = 0;
    for (int32_t r = 0; r <= dims->out_height; r++) {
        int32_t done = r * dims->stride_height - dims->pad_top;
        done = done > dims->in_height || r == dims->out_height ? dims->in_height : done;
        for (; next < done; next++) {
            int32_t one = finish_row(channel, next);
            largest = one > largest ? one : largest;
        }
        if (r < dims->out_height) {
            spread(channel, r);
        }
    }
    return largest;
}

// dx[i,h,k] = clamp(128 + rq(sum_{u,v} (w[i,u,v] - z_w) (e[i,r,c] - 128) f[i]), 0, 255),
// 128 where mask[i,h,k] <= z_x
int32_t kg_depthwise_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                           const kg_kept_t *kept, const uint8_t *w,
                                           const kg_conv_quant_t *quant, const uint8_t *mask,
                                           uint8_t *dx, void *scratch) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t taps = dims->kernel_height * dims->kernel_width;
    channel_t channel = {.dims = dims, .quant = quant};
    channel.rounding = kg_rounding(quant->backward, KG_ERROR_ZERO, 0, 255);
    channel.fraction = kg_kept_fraction(kept);
    channel.half = kg_kept_half(kept);
    memset(scratch, 0, lay_out(dims, &channel, scratch));
    int32_t largest = 0;
    int32_t next = 0;  // channel
    for (int32_t j = 0; j < kg_kept_count(kept, dims->groups); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((row.row - next) * plane));
        next = row.row + 1;
        for (int32_t k = 0; k < taps; k++) {
            channel.weights[k] = (w[row.row * taps + k] - quant->w_zero) * row.factor;
        }
        channel.e = e + row.row * dims->out_height * dims->out_width;
        channel.mask = mask == NULL ? NULL : mask + row.row * plane;
        channel.dx = dx + row.row * plane;
        int32_t one = spread_channel(&channel);
        largest = one > largest ? one : largest;
    }
    memset(dx + next * plane, KG_ERROR_ZERO, (size_t)((dims->groups - next) * plane));
    return largest;
}
