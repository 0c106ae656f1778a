// SPDX-License-Identifier: Apache-2.0
// The geometry of the host's float32 convolutions, and of the weight gradients in uint8.
#ifndef KG_OPS_CONV2D_HOST_H
#define KG_OPS_CONV2D_HOST_H

#include "ops/dims.h"
#include "ops/kept.h"
#include "ops/matmul_host.h"

// A matrix product over shifted maps. For row m and position (r, c), which is lane r * pitch + c:
// sum_k a[k][m] maps[offsets[k] + lane]. Lanes with c >= width mean nothing.
typedef struct {
    int32_t rows, taps;
    int32_t height, width, pitch;
    int32_t lanes;     // of one row of sums
    float *a;          // (rows / 4, taps, 4), as kg_tile reads it
    float *maps;       // (channels, phases, map height, map width): padded, one map per phase
    int32_t *offsets;  // (taps)
    float *sums;       // (rows, lanes)
} kg_product_t;

// The forward pass of one group: rows are its output channels, taps are in (i, u, v) order. Lays
// the product out in scratch; returns the bytes it takes (scratch may be NULL to ask for that
// only).
size_t kg_conv2d_host_forward(const kg_conv_dims_t *dims, kg_product_t *product, void *scratch);
void kg_conv2d_host_forward_fill(const kg_conv_dims_t *dims, int32_t group, const float *x,
                                 const float *w, kg_product_t *product);

// The input gradient of one group: the elements (a + r * stride_height, b + c * stride_width) of
// one phase (a, b) are one product; rows are input channels, taps are in (o, u, v) order. The maps
// serve all phases. Lays out for the largest phase, as above. Only kept output channels have taps;
// their errors count factor * unit times.
size_t kg_conv2d_host_gradient(const kg_conv_dims_t *dims, kg_product_t *product, void *scratch);
void kg_conv2d_host_gradient_maps(const kg_conv_dims_t *dims, int32_t group, const float *e,
                                  const kg_kept_t *kept, float unit, kg_product_t *product);
void kg_conv2d_host_gradient_phase(const kg_conv_dims_t *dims, int32_t group, const kg_kept_t *kept,
                                   int32_t a, int32_t b, const float *w, kg_product_t *product);

// Calculates the sums.
void kg_product_run_f32(const kg_product_t *product);

// The weight gradient of one output channel: a combination of pixels (all channels of the group at
// one position) by the errors that are not zero.
typedef struct {
    float *pixels;         // (groups, padded height, padded width, channels of the group)
    int32_t group, pitch;  // floats from one group, and one row of pixels, to the next
    int32_t vectors;       // under one row of taps, (kernel_width, channels)
    kg_factor_t *factors;  // the errors, and where their windows start in a group
    float *sums;           // (kernel_height, vectors, KG_VECTOR_LANES)
    int32_t *offsets;      // (out_height, out_width): where an error's window starts in a group
} kg_row_t;

// Lays out in scratch; returns the bytes it takes (scratch may be NULL to ask for that only).
size_t kg_conv2d_host_row(const kg_conv_dims_t *dims, kg_row_t *row, void *scratch);
// Fills the pixels of one group, the groups in order, and all offsets; x starts at the group's
// channels.
void kg_conv2d_host_row_pixels(const kg_conv_dims_t *dims, int32_t group, const float *x,
                               kg_row_t *row);
// Overwrites the sums by those of these factors.
void kg_conv2d_host_row_sums(const kg_conv_dims_t *dims, const kg_row_t *row, int32_t group,
                             const kg_factor_t *factors, int32_t count);

#endif
