// SPDX-License-Identifier: Apache-2.0
// Max and average pooling over windows of one channel; global pooling is a window of the whole map.
#ifndef KG_OPS_POOL_H
#define KG_OPS_POOL_H

#include "kilograd/types.h"

// x is (channels, in_height, in_width), y is (channels, out_height, out_width).
typedef struct {
    int32_t channels;
    int32_t in_height, in_width;
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t pad_top, pad_left;
} kg_pool_dims_t;

// y = largest x of the window, padding never wins; argmax = its tap u * kernel_width + v, the first on a tie.
void kg_max_pool_u8_forward(const kg_pool_dims_t *dims, const uint8_t *x, uint8_t *y, uint8_t *argmax);
void kg_max_pool_f32_forward(const kg_pool_dims_t *dims, const float *x, float *y, uint8_t *argmax);

// dx = the sum of the errors of the windows in which this element won: uint8: 128 + sum (e - 128), clamped to
// 0..255; float32: summed over windows in (r, c) order. The scale of the error does not change.
void kg_max_pool_u8_backward(const kg_pool_dims_t *dims, const uint8_t *e, const uint8_t *argmax, uint8_t *dx);
void kg_max_pool_f32_backward(const kg_pool_dims_t *dims, const float *e, const uint8_t *argmax, float *dx);

typedef struct {
    int32_t x_zero, y_zero;
    kg_requant_t forward;   // s_x / (s_y * window)
    kg_requant_t backward;  // s_e / (s_dx * window)
} kg_average_pool_quant_t;

// y = clamp(z_y + rq(sum (x - z_x), forward), 0, 255); the window always counts kernel_height * kernel_width
// elements, those in the padding are zero.
void kg_average_pool_u8_forward(const kg_pool_dims_t *dims, const uint8_t *x, const kg_average_pool_quant_t *quant,
                                uint8_t *y);

// dx = clamp(128 + rq(sum over the windows that hold the element of (e - 128), backward), 0, 255), 128 where
// mask <= x_zero (mask may be NULL). Returns the largest |sum| over the elements not masked.
int32_t kg_average_pool_u8_backward(const kg_pool_dims_t *dims, const uint8_t *e, const kg_average_pool_quant_t *quant,
                                    const uint8_t *mask, uint8_t *dx);

// y = (sum x in (u, v) order) * factor; dx = (sum e in (r, c) order) * factor, 0 where mask <= 0; factor = 1 / window.
void kg_average_pool_f32_forward(const kg_pool_dims_t *dims, const float *x, float factor, float *y);
void kg_average_pool_f32_backward(const kg_pool_dims_t *dims, const float *e, float factor, const float *mask,
                                  float *dx);

#endif
