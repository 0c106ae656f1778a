// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in uint8 for the host twin: the bits of conv2d_u8.c, by exact float arithmetic.
#include <string.h>

#include "ops/conv2d.h"
#include "ops/conv2d_host.h"
#include "ops/error.h"
#include "ops/requant.h"

static int32_t x_count(const kg_conv_dims_t *dims) {
    return kg_round_up(dims->in_channels * dims->in_height * dims->in_width, 2);
}
static int32_t w_count(const kg_conv_dims_t *dims) {
    return kg_round_up(dims->out_channels * kg_conv_columns(dims), 2);
}
static int32_t y_count(const kg_conv_dims_t *dims) {
    return kg_round_up(dims->out_channels * dims->out_height * dims->out_width, 2);
}

size_t kg_conv2d_u8_forward_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_product_t product;
    return (size_t)(x_count(dims) + w_count(dims)) * sizeof(float) +
           kg_conv2d_host_forward(dims, &product, NULL);
}

// One output channel's clamp(z_y + rq(b + sum)). Returns the next y.
static uint8_t *finish_channel(const kg_product_t *product, const int32_t *sums, int32_t b,
                               const kg_conv_quant_t *quant, uint8_t *y) {
    kg_conv_quant_t q = *quant;
    for (int32_t r = 0; r < product->height; r++, sums += product->pitch) {
        for (int32_t c = 0; c < product->width; c++) {
            int32_t value = q.y_zero + kg_requant(b + sums[c], q.forward);
            *y++ = (uint8_t)kg_clamp(value, q.y_min, q.y_max);
        }
    }
    return y;
}

void kg_conv2d_u8_forward_host(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                               const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                               void *scratch) {
    float *x_real = scratch;
    float *w_real = x_real + x_count(dims);
    kg_product_t product;
    (void)kg_conv2d_host_forward(dims, &product, w_real + w_count(dims));
    kg_to_float(x, dims->in_channels * dims->in_height * dims->in_width, quant->x_zero, x_real);
    kg_to_float(w, dims->out_channels * kg_conv_columns(dims), quant->w_zero, w_real);
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_conv2d_host_forward_fill(dims, g, x_real, w_real, &product);
        kg_product_run_s32(&product, KG_EXACT_PRODUCTS);
        for (int32_t o = 0; o < product.rows; o++, b++) {
            const int32_t *sums = (const int32_t *)product.sums + o * product.lanes;
            y = finish_channel(&product, sums, *b, quant, y);
        }
    }
}

// The converted x lies behind the row's work.
size_t kg_conv2d_u8_weight_gradient_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_row_t work;
    return kg_conv2d_host_row(dims, &work, NULL) + (size_t)x_count(dims) * sizeof(float);
}

// Brings every group of x into the form of the rows' work.
void kg_conv2d_u8_weight_gradient_host_prepare(const kg_conv_dims_t *dims, const uint8_t *x,
                                               const kg_conv_quant_t *quant, void *scratch) {
    int32_t count = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    kg_row_t work;
    float *x_real = (float *)scratch + kg_conv2d_host_row(dims, &work, scratch) / sizeof(float);
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_to_float(x + g * count, count, quant->x_zero, x_real);
        kg_conv2d_host_row_pixels(dims, g, x_real, &work);
    }
}

static int32_t list_errors(const kg_conv_dims_t *dims, const uint8_t *e, const kg_row_t *work) {
    int32_t step = dims->stride_width * kg_conv_group_inputs(dims);
    int32_t count = 0;
    for (int32_t r = 0; r < dims->out_height; r++) {
        int32_t offset = r * dims->stride_height * work->pitch;
        for (int32_t c = 0; c < dims->out_width; c++, e++, offset += step) {
            work->factors[count] = (kg_factor_t){offset, (float)(*e - KG_ERROR_ZERO)};
            count += *e != KG_ERROR_ZERO;
        }
    }
    return count;
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
    kg_product_t product;
    return (size_t)(y_count(dims) + w_count(dims)) * sizeof(float) +
           kg_conv2d_host_gradient(dims, &product, NULL);
}

// Writes the elements of phase (a, b); mask and dx start at the group's channels. Returns the
// largest |sum|.
static int32_t finish_phase(const kg_conv_dims_t *dims, const kg_product_t *product,
                            const kg_kept_t *kept, int32_t a, int32_t b,
                            const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx) {
    kg_requant_t factor = quant->backward;
    int32_t half = kg_kept_half(kept);
    int32_t fraction = kg_kept_fraction(kept);
    int32_t largest = 0;
    for (int32_t i = 0; i < product->rows; i++) {
        const int32_t *sums = (const int32_t *)product->sums + i * product->lanes;
        for (int32_t r = 0; r < product->height; r++, sums += product->pitch) {
            int32_t at = (i * dims->in_height + a + r * dims->stride_height) * dims->in_width + b;
            for (int32_t c = 0; c < product->width; c++, at += dims->stride_width) {
                int32_t sum = mask == NULL || mask[at] > quant->x_zero ? sums[c] : 0;
                sum = (sum + half) >> fraction;
                largest = kg_largest(largest, sum);
                dx[at] = kg_error(sum, factor);
            }
        }
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

int32_t kg_conv2d_u8_input_gradient_host(const kg_conv_dims_t *dims, const uint8_t *e,
                                         const kg_kept_t *kept, const uint8_t *w,
                                         const kg_conv_quant_t *quant, const uint8_t *mask,
                                         uint8_t *dx, void *scratch) {
    int32_t map = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    float *e_real = scratch;
    float *w_real = e_real + y_count(dims);
    kg_product_t product;
    int32_t step = exact_errors(kept);
    int32_t largest = 0;
    (void)kg_conv2d_host_gradient(dims, &product, w_real + w_count(dims));
    kg_to_float(e, dims->out_channels * dims->out_height * dims->out_width, KG_ERROR_ZERO, e_real);
    kg_to_float(w, dims->out_channels * kg_conv_columns(dims), quant->w_zero, w_real);
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_conv2d_host_gradient_maps(dims, g, e_real, kept, 1.0f, &product);
        for (int32_t a = 0; a < dims->stride_height; a++) {
            for (int32_t b = 0; b < dims->stride_width; b++) {
                kg_conv2d_host_gradient_phase(dims, g, kept, a, b, w_real, &product);
                kg_product_run_s32(&product, step);
                int32_t one = finish_phase(dims, &product, kept, a, b, quant,
                                           mask == NULL ? NULL : mask + g * map, dx + g * map);
                largest = one > largest ? one : largest;
            }
        }
    }
    return largest;
}
