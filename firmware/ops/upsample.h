// SPDX-License-Identifier: Apache-2.0
// Nearest-neighbour up-sampling: every element becomes a block of scale_height x scale_width.
#ifndef KG_OPS_UPSAMPLE_H
#define KG_OPS_UPSAMPLE_H

#include "kilograd/types.h"

// x is (channels, in_height, in_width), y is (channels, in_height * scale_height,
// in_width * scale_width).
typedef struct {
    int32_t channels;
    int32_t in_height, in_width;
    int32_t scale_height, scale_width;
} kg_upsample_dims_t;

// y[i,r,c] = x[i, r / scale_height, c / scale_width]
void kg_upsample_u8_forward(const kg_upsample_dims_t *dims, const uint8_t *x, uint8_t *y);
void kg_upsample_f32_forward(const kg_upsample_dims_t *dims, const float *x, float *y);

// dx = clamp(128 + rq(sum over the element's block of (e - 128), factor), 0, 255).
// Returns the largest |sum|.
int32_t kg_upsample_u8_backward(const kg_upsample_dims_t *dims, const uint8_t *e,
                                const kg_requant_t *factor, uint8_t *dx);

// dx = sum over the element's block of e, row by row.
void kg_upsample_f32_backward(const kg_upsample_dims_t *dims, const float *e, float *dx);

#endif
