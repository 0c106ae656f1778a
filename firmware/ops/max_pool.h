// SPDX-License-Identifier: Apache-2.0
// Max pooling over windows of one channel, at most 256 taps each.
#ifndef KG_OPS_MAX_POOL_H
#define KG_OPS_MAX_POOL_H

#include "ops/pool.h"

// y = largest x of the window, padding never wins; argmax = its tap u * kernel_width + v, the first
// on a tie.
void kg_max_pool_u8_forward(const kg_pool_dims_t *dims, const uint8_t *x, uint8_t *y,
                            uint8_t *argmax);
void kg_max_pool_f32_forward(const kg_pool_dims_t *dims, const float *x, float *y, uint8_t *argmax);

// dx = the sum of the errors of the windows in which this element won: uint8: 128 + sum (e - 128),
// clamped to 0..255; float32: summed over windows in (r, c) order. The scale of the error does not
// change.
void kg_max_pool_u8_backward(const kg_pool_dims_t *dims, const uint8_t *e, const uint8_t *argmax,
                             uint8_t *dx);
void kg_max_pool_f32_backward(const kg_pool_dims_t *dims, const float *e, const uint8_t *argmax,
                              float *dx);

// The same for cores with the DSP extension.
void kg_max_pool_u8_forward_dsp(const kg_pool_dims_t *dims, const uint8_t *x, uint8_t *y,
                                uint8_t *argmax);
void kg_max_pool_u8_backward_dsp(const kg_pool_dims_t *dims, const uint8_t *e,
                                 const uint8_t *argmax, uint8_t *dx);

// The same for the host.
void kg_max_pool_u8_forward_host(const kg_pool_dims_t *dims, const uint8_t *x, uint8_t *y,
                                 uint8_t *argmax);
void kg_max_pool_u8_backward_host(const kg_pool_dims_t *dims, const uint8_t *e,
                                  const uint8_t *argmax, uint8_t *dx);

#endif
