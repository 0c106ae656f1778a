// SPDX-License-Identifier: Apache-2.0
// Fully connected layer: x is (in_channels), w is (out_channels, in_channels) row-major, y is
// (out_channels). Same signatures, rounding and scratch as conv2d.h, so that one table entry serves
// both.
#ifndef KG_OPS_LINEAR_H
#define KG_OPS_LINEAR_H

#include "ops/dims.h"
#include "ops/kept.h"

size_t kg_linear_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);

// y[o] = clamp(z_y + rq(b[o] + sum_i (w[o,i] - z_w) (x[i] - z_x), forward), y_min, y_max)
void kg_linear_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                          const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                          void *scratch);

// The last layer: logits[o] = (float)(b[o] + sum_i (w[o,i] - z_w) (x[i] - z_x)) * scale, never
// requantised.
void kg_linear_u8_logits(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                         const int32_t *b, const kg_conv_quant_t *quant, float scale,
                         float *logits);

// row[i] = (e[channel] - 128) (x[i] - z_x)
void kg_linear_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e,
                                  const kg_conv_quant_t *quant, int32_t channel, int32_t *row,
                                  void *scratch);

// dx[i] = clamp(128 + rq(sum_o (w[o,i] - z_w) (e[o] - 128), backward), 0, 255), 128 where mask[i]
// <= x_zero; kept rows and their factors as in conv2d.h. mask may be the same array as dx. Returns
// the largest |sum| over the elements not masked.
int32_t kg_linear_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                    const kg_kept_t *kept, const uint8_t *w,
                                    const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx,
                                    void *scratch);

// Float32: sums start at +0.0f, as in conv2d.h; forward over i, then + b[o]; weight gradient
// row[i] = +0.0f + e[channel] x[i]; input gradient over o.
size_t kg_linear_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);
void kg_linear_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                           const float *b, float y_min, float y_max, float *y, void *scratch);
void kg_linear_f32_weight_gradient(const kg_conv_dims_t *dims, const float *x, const float *e,
                                   int32_t channel, float *row, void *scratch);
void kg_linear_f32_input_gradient(const kg_conv_dims_t *dims, const float *e, const kg_kept_t *kept,
                                  const float *w, const float *mask, float *dx, void *scratch);

// The same for cores with the DSP extension.
size_t kg_linear_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims);
int32_t kg_linear_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch);
size_t kg_linear_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims);
void kg_linear_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch);

// The same for the host twin, by vector arithmetic. There is no such weight gradient: compilers
// make vectors of the plain one.
size_t kg_linear_u8_forward_host_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_linear_u8_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims);
void kg_linear_u8_forward_host(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                               const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                               void *scratch);
int32_t kg_linear_u8_input_gradient_host(const kg_conv_dims_t *dims, const uint8_t *e,
                                         const kg_kept_t *kept, const uint8_t *w,
                                         const kg_conv_quant_t *quant, const uint8_t *mask,
                                         uint8_t *dx, void *scratch);

size_t kg_linear_f32_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims);
void kg_linear_f32_forward_host(const kg_conv_dims_t *dims, const float *x, const float *w,
                                const float *b, float y_min, float y_max, float *y, void *scratch);
void kg_linear_f32_input_gradient_host(const kg_conv_dims_t *dims, const float *e,
                                       const kg_kept_t *kept, const float *w, const float *mask,
                                       float *dx, void *scratch);

// The same for Cortex-M0+. Weight gradients of linear layers are formed while they are added.
size_t kg_linear_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_linear_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims);
void kg_linear_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch);
int32_t kg_linear_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch);

#endif
