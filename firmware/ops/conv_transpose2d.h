// SPDX-License-Identifier: Apache-2.0
// Transposed 2-D convolution, one group: every input element adds its multiple of the kernel to the
// output. Its forward pass has the geometry of a convolution's input gradient, and the other way
// round.
//
// Weights are (out_channels, in_channels, kernel_height, kernel_width). Input position (r, c) under
// tap (u, v) meets output position (r*S + u - P, c*S + v - P). Signatures, rounding and scratch as
// in conv2d.h, so that one table entry serves both.
#ifndef KG_OPS_CONV_TRANSPOSE2D_H
#define KG_OPS_CONV_TRANSPOSE2D_H

#include "ops/dims.h"
#include "ops/kept.h"

size_t kg_conv_transpose2d_u8_forward_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv_transpose2d_u8_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv_transpose2d_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);

// y[o,h,k] = clamp(z_y + rq(b[o] + sum_{i,u,v} (w[o,i,u,v] - z_w) (x[i,r,c] - z_x), forward),
//                  y_min, y_max) over the inputs that meet (h, k)
void kg_conv_transpose2d_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                    const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                    void *scratch);

// Gradient of the weights of one output channel, in (i, u, v) order:
// row[k] = sum_{r,c} (e[channel,h,k] - 128) (x[i,r,c] - z_x). Overwrites row.
void kg_conv_transpose2d_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x,
                                            const uint8_t *e, const kg_conv_quant_t *quant,
                                            int32_t channel, int32_t *row, void *scratch);

// dx[i,r,c] = clamp(128 + rq(sum_{o,u,v} (w[o,i,u,v] - z_w) (e[o,h,k] - 128) f[o], backward),
//                   0, 255), 128 where mask <= x_zero. mask may be dx. Returns the largest |sum|.
int32_t kg_conv_transpose2d_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                              const kg_kept_t *kept, const uint8_t *w,
                                              const kg_conv_quant_t *quant, const uint8_t *mask,
                                              uint8_t *dx, void *scratch);

// Float32: sums start at +0.0f; forward over (i, u, v), then + b[o]; weight gradient over (r, c);
// input gradient over (o, u, v).
size_t kg_conv_transpose2d_f32_forward_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv_transpose2d_f32_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv_transpose2d_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv_transpose2d_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                                     const float *b, float y_min, float y_max, float *y,
                                     void *scratch);
void kg_conv_transpose2d_f32_weight_gradient(const kg_conv_dims_t *dims, const float *x,
                                             const float *e, int32_t channel, float *row,
                                             void *scratch);
void kg_conv_transpose2d_f32_input_gradient(const kg_conv_dims_t *dims, const float *e,
                                            const kg_kept_t *kept, const float *w,
                                            const float *mask, float *dx, void *scratch);

// The same for cores with the DSP extension.
size_t kg_conv_transpose2d_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims);
int32_t kg_conv_transpose2d_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                                  const kg_kept_t *kept, const uint8_t *w,
                                                  const kg_conv_quant_t *quant, const uint8_t *mask,
                                                  uint8_t *dx, void *scratch);
size_t kg_conv_transpose2d_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv_transpose2d_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x,
                                        const uint8_t *w, const int32_t *b,
                                        const kg_conv_quant_t *quant, uint8_t *y, void *scratch);

// Input elements under one output position, at most, per channel.
static inline int32_t kg_conv_transpose2d_overlap(const kg_conv_dims_t *dims) {
    int32_t down = (dims->kernel_height + dims->stride_height - 1) / dims->stride_height;
    int32_t across = (dims->kernel_width + dims->stride_width - 1) / dims->stride_width;
    return down * across;
}

// Errors that one list of the weight gradient can hold: it takes whole rows while another fits.
static inline int32_t kg_conv_transpose2d_list_capacity(const kg_conv_dims_t *dims) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t enough = plane < 128 ? plane : 128;
    return enough < dims->in_width ? dims->in_width : enough;
}

// The same for Cortex-M0+.
size_t kg_conv_transpose2d_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv_transpose2d_u8_weight_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv_transpose2d_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv_transpose2d_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                        const uint8_t *w, const int32_t *b,
                                        const kg_conv_quant_t *quant, uint8_t *y, void *scratch);
void kg_conv_transpose2d_u8_weight_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                                const uint8_t *e, const kg_conv_quant_t *quant,
                                                int32_t channel, int32_t *row, void *scratch);
int32_t kg_conv_transpose2d_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                                  const kg_kept_t *kept, const uint8_t *w,
                                                  const kg_conv_quant_t *quant, const uint8_t *mask,
                                                  uint8_t *dx, void *scratch);

#endif
