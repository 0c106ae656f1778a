// SPDX-License-Identifier: Apache-2.0
// 2-D convolution with stride, zero padding and groups (depthwise: groups == in_channels).
//
// o: output channel, i: input channel of o's group, (u, v): kernel tap,
// (r, c): output position, (r*S + u - P, c*S + v - P): input position; taps in the padding add 0.
// scratch: aligned to 8 bytes, as many as the function's _scratch_bytes says; nothing outlives a
// call.
#ifndef KG_OPS_CONV2D_H
#define KG_OPS_CONV2D_H

#include "ops/dims.h"
#include "ops/kept.h"

size_t kg_conv2d_u8_forward_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_u8_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);

// y[o,r,c] = clamp(z_y + rq(b[o] + sum_{i,u,v} (w[o,i,u,v] - z_w) (x[i,..] - z_x), forward),
//                  y_min, y_max)
void kg_conv2d_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                          const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                          void *scratch);

// Gradient of the weights of one output channel, in (i, u, v) order:
// row[k] = sum_{r,c} (e[channel,r,c] - 128) (x[i,..] - z_x). Overwrites row.
void kg_conv2d_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e,
                                  const kg_conv_quant_t *quant, int32_t channel, int32_t *row,
                                  void *scratch);

// dx[i,h,k] = clamp(128 + rq(sum_{o,u,v} (w[o,i,u,v] - z_w) (e[o,r,c] - 128), backward), 0, 255)
// over the kept o and the output positions that read input position (h, k); an error counts
// factor / 2^fraction times, the sum is then rounded to a whole number, half up. Where mask is
// given and mask[i,h,k] <= x_zero (the producer's ReLU was off), dx = 128. mask may be the same
// array as dx. Returns the largest |sum| over the elements not masked.
int32_t kg_conv2d_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                    const kg_kept_t *kept, const uint8_t *w,
                                    const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx,
                                    void *scratch);

// Float32. Every sum starts at +0.0f and adds in a fixed order, so that all variants give the same
// bits for finite numbers: forward over (i, u, v), then + b[o]; weight gradient over (r, c); input
// gradient over (o, u, v), kept errors times their factor first. Products with 0 may be left out:
// they never change such a sum. y is clamped to [y_min, y_max] (ReLU: 0, FLT_MAX). mask: dx = 0
// where mask <= 0.
size_t kg_conv2d_f32_forward_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_f32_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv2d_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                           const float *b, float y_min, float y_max, float *y, void *scratch);
void kg_conv2d_f32_weight_gradient(const kg_conv_dims_t *dims, const float *x, const float *e,
                                   int32_t channel, float *row, void *scratch);
void kg_conv2d_f32_input_gradient(const kg_conv_dims_t *dims, const float *e, const kg_kept_t *kept,
                                  const float *w, const float *mask, float *dx, void *scratch);

// The same for cores with the DSP extension.
size_t kg_conv2d_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv2d_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch);

// The same for the host twin, by vector arithmetic and with generous scratch.
size_t kg_conv2d_u8_forward_host_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_u8_weight_gradient_host_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_u8_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv2d_u8_forward_host(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                               const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                               void *scratch);
void kg_conv2d_u8_weight_gradient_host(const kg_conv_dims_t *dims, const uint8_t *x,
                                       const uint8_t *e, const kg_conv_quant_t *quant,
                                       int32_t channel, int32_t *row, void *scratch);
int32_t kg_conv2d_u8_input_gradient_host(const kg_conv_dims_t *dims, const uint8_t *e,
                                         const kg_kept_t *kept, const uint8_t *w,
                                         const kg_conv_quant_t *quant, const uint8_t *mask,
                                         uint8_t *dx, void *scratch);

// Gradients for Cortex-M4 and M7.
size_t kg_conv2d_u8_weight_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv2d_u8_weight_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *x,
                                      const uint8_t *e, const kg_conv_quant_t *quant,
                                      int32_t channel, int32_t *row, void *scratch);
size_t kg_conv2d_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims);
int32_t kg_conv2d_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch);

// A weight gradient that has a _prepare wants it once per sample, before the rows of any channels
// in any order, with the same scratch, untouched in between. rows: how many are about to come;
// another number costs time only.
void kg_conv2d_u8_weight_gradient_host_prepare(const kg_conv_dims_t *dims, const uint8_t *x,
                                               const kg_conv_quant_t *quant, int32_t rows,
                                               void *scratch);
void kg_conv2d_u8_weight_gradient_dsp_prepare(const kg_conv_dims_t *dims, const uint8_t *x,
                                              const kg_conv_quant_t *quant, int32_t rows,
                                              void *scratch);
void kg_conv2d_f32_weight_gradient_host_prepare(const kg_conv_dims_t *dims, const float *x,
                                                void *scratch);

size_t kg_conv2d_f32_forward_host_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_f32_weight_gradient_host_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_f32_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv2d_f32_forward_host(const kg_conv_dims_t *dims, const float *x, const float *w,
                                const float *b, float y_min, float y_max, float *y, void *scratch);
void kg_conv2d_f32_weight_gradient_host(const kg_conv_dims_t *dims, const float *x, const float *e,
                                        int32_t channel, float *row, void *scratch);
void kg_conv2d_f32_input_gradient_host(const kg_conv_dims_t *dims, const float *e,
                                       const kg_kept_t *kept, const float *w, const float *mask,
                                       float *dx, void *scratch);

// The same for cores with an FPU. The weight gradient is quick for channels in ascending order.
size_t kg_conv2d_f32_forward_fpu_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_f32_weight_gradient_fpu_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_f32_input_gradient_fpu_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv2d_f32_forward_fpu(const kg_conv_dims_t *dims, const float *x, const float *w,
                               const float *b, float y_min, float y_max, float *y, void *scratch);
void kg_conv2d_f32_weight_gradient_fpu_prepare(const kg_conv_dims_t *dims, const float *x,
                                               void *scratch);
void kg_conv2d_f32_weight_gradient_fpu(const kg_conv_dims_t *dims, const float *x, const float *e,
                                       int32_t channel, float *row, void *scratch);
void kg_conv2d_f32_input_gradient_fpu(const kg_conv_dims_t *dims, const float *e,
                                      const kg_kept_t *kept, const float *w, const float *mask,
                                      float *dx, void *scratch);

// The same for Cortex-M0+.
size_t kg_conv2d_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_u8_weight_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_conv2d_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims);
void kg_conv2d_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch);
void kg_conv2d_u8_weight_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                      const uint8_t *e, const kg_conv_quant_t *quant,
                                      int32_t channel, int32_t *row, void *scratch);
int32_t kg_conv2d_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch);

#endif
