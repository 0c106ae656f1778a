// SPDX-License-Identifier: Apache-2.0
// Average pooling over windows of one channel. A window always counts kernel_height * kernel_width
// elements; those in the padding are zero.
#ifndef KG_OPS_AVERAGE_POOL_H
#define KG_OPS_AVERAGE_POOL_H

#include "ops/pool.h"

typedef struct {
    int32_t x_zero, y_zero;
    kg_requant_t forward;   // s_x / (s_y * window)
    kg_requant_t backward;  // s_e / (s_dx * window)
} kg_average_pool_quant_t;

// y = clamp(z_y + rq(sum (x - z_x), forward), 0, 255)
void kg_average_pool_u8_forward(const kg_pool_dims_t *dims, const uint8_t *x,
                                const kg_average_pool_quant_t *quant, uint8_t *y);

// dx = clamp(128 + rq(sum over the windows that hold the element of (e - 128), backward), 0, 255),
// 128 where mask <= x_zero. mask may be NULL, or the same array as dx. Returns the largest |sum|
// over the elements not masked.
int32_t kg_average_pool_u8_backward(const kg_pool_dims_t *dims, const uint8_t *e,
                                    const kg_average_pool_quant_t *quant, const uint8_t *mask,
                                    uint8_t *dx);

// y = (sum x in (u, v) order) * factor; dx = (sum e in (r, c) order) * factor, 0 where mask <= 0;
// factor = 1 / window.
void kg_average_pool_f32_forward(const kg_pool_dims_t *dims, const float *x, float factor,
                                 float *y);
void kg_average_pool_f32_backward(const kg_pool_dims_t *dims, const float *e, float factor,
                                  const float *mask, float *dx);

#endif
