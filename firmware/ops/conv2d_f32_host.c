// SPDX-License-Identifier: Apache-2.0
// 2-D convolution in float32 for the host twin: the bits of conv2d_f32.c, by vector arithmetic.
#include "ops/clamp.h"
#include "ops/conv2d.h"
#include "ops/conv2d_host.h"

size_t kg_conv2d_f32_forward_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_product_t product;
    return kg_conv2d_host_forward(dims, &product, NULL);
}

void kg_conv2d_f32_forward_host(const kg_conv_dims_t *dims, const float *x, const float *w,
                                const float *b, float y_min, float y_max, float *y, void *scratch) {
    kg_product_t product;
    (void)kg_conv2d_host_forward(dims, &product, scratch);
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_conv2d_host_forward_fill(dims, g, x, w, &product);
        kg_product_run_f32(&product);
        for (int32_t o = 0; o < product.rows; o++, b++) {
            const float *sums = product.sums + o * product.lanes;
            for (int32_t r = 0; r < product.height; r++, sums += product.pitch) {
                for (int32_t c = 0; c < product.width; c++) {
                    *y++ = kg_clampf(sums[c] + *b, y_min, y_max);
                }
            }
        }
    }
}

size_t kg_conv2d_f32_weight_gradient_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_row_t row;
    return kg_conv2d_host_row(dims, &row, NULL);
}

// Brings every group of x into the form of the rows' work.
void kg_conv2d_f32_weight_gradient_host_prepare(const kg_conv_dims_t *dims, const float *x,
                                                void *scratch) {
    int32_t count = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    kg_row_t work;
    (void)kg_conv2d_host_row(dims, &work, scratch);
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_conv2d_host_row_pixels(dims, g, x + g * count, &work);
    }
}

static int32_t list_errors(const kg_conv_dims_t *dims, const float *e, const kg_row_t *work) {
    int32_t step = dims->stride_width * kg_conv_group_inputs(dims);
    int32_t count = 0;
    for (int32_t r = 0; r < dims->out_height; r++) {
        int32_t offset = r * dims->stride_height * work->pitch;
        for (int32_t c = 0; c < dims->out_width; c++, e++, offset += step) {
            work->factors[count] = (kg_factor_t){offset, *e};
            count += *e != 0.0f;
        }
    }
    return count;
}

void kg_conv2d_f32_weight_gradient_host(const kg_conv_dims_t *dims, const float *x, const float *e,
                                        int32_t channel, float *row, void *scratch) {
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t taps = dims->kernel_height * dims->kernel_width;
    kg_row_t work;
    (void)x;
    (void)kg_conv2d_host_row(dims, &work, scratch);
    int32_t count = list_errors(dims, e + channel * dims->out_height * dims->out_width, &work);
    kg_conv2d_host_row_sums(dims, &work, channel / kg_conv_group_outputs(dims), work.factors,
                            count);
    for (int32_t u = 0; u < dims->kernel_height; u++) {
        const float *sums = work.sums + u * work.vectors * KG_VECTOR_LANES;
        for (int32_t v = 0; v < dims->kernel_width; v++, row++) {
            for (int32_t i = 0; i < channels; i++) {
                row[i * taps] = *sums++;
            }
        }
    }
}

size_t kg_conv2d_f32_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims) {
    kg_product_t product;
    return kg_conv2d_host_gradient(dims, &product, NULL);
}

// Writes the elements of phase (a, b); mask and dx start at the group's channels.
static void finish_phase(const kg_conv_dims_t *dims, const kg_product_t *product, int32_t a,
                         int32_t b, const float *mask, float *dx) {
    for (int32_t i = 0; i < product->rows; i++) {
        const float *sums = product->sums + i * product->lanes;
        for (int32_t r = 0; r < product->height; r++, sums += product->pitch) {
            int32_t at = (i * dims->in_height + a + r * dims->stride_height) * dims->in_width + b;
            for (int32_t c = 0; c < product->width; c++, at += dims->stride_width) {
                dx[at] = mask != NULL && mask[at] <= 0.0f ? 0.0f : sums[c];
            }
        }
    }
}

void kg_conv2d_f32_input_gradient_host(const kg_conv_dims_t *dims, const float *e,
                                       const kg_kept_t *kept, const float *w, const float *mask,
                                       float *dx, void *scratch) {
    int32_t map = kg_conv_group_inputs(dims) * dims->in_height * dims->in_width;
    kg_product_t product;
    float unit = 1.0f / (float)(1 << kg_kept_fraction(kept));
    (void)kg_conv2d_host_gradient(dims, &product, scratch);
    for (int32_t g = 0; g < dims->groups; g++) {
        kg_conv2d_host_gradient_maps(dims, g, e, kept, unit, &product);
        for (int32_t a = 0; a < dims->stride_height; a++) {
            for (int32_t b = 0; b < dims->stride_width; b++) {
                kg_conv2d_host_gradient_phase(dims, g, kept, a, b, w, &product);
                kg_product_run_f32(&product);
                finish_phase(dims, &product, a, b, mask == NULL ? NULL : mask + g * map,
                             dx + g * map);
            }
        }
    }
}
