// SPDX-License-Identifier: Apache-2.0
// Shapes and quantisation that the weighted operators (conv2d, linear) share.
#ifndef KG_OPS_DIMS_H
#define KG_OPS_DIMS_H

#include "kilograd/types.h"

// Tensors are planar: activations (channels, height, width), weights
// (out_channels, in_channels / groups, kernel_height, kernel_width), all row-major.
// A linear layer is the 1x1 case: in_channels inputs, out_channels outputs, every other size 1.
typedef struct {
    int32_t in_channels, in_height, in_width;
    int32_t out_channels, out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t pad_top, pad_left;  // the far side follows from the output size
    int32_t groups;             // in_channels for a depthwise convolution
} kg_conv_dims_t;

// The mutable numbers of one uint8 weighted layer. real = scale * (q - zero).
typedef struct {
    int32_t x_zero, w_zero, y_zero;
    int32_t y_min, y_max;   // clamp of the output; y_min == y_zero is a fused ReLU
    kg_requant_t forward;   // s_w s_x / s_y
    kg_requant_t backward;  // s_w s_e / s_dx
} kg_conv_quant_t;

// Input and output channels of one group.
static inline int32_t kg_conv_group_inputs(const kg_conv_dims_t *dims) {
    return dims->in_channels / dims->groups;
}
static inline int32_t kg_conv_group_outputs(const kg_conv_dims_t *dims) {
    return dims->out_channels / dims->groups;
}

// Whether kernels are of the size that has loops of its own.
static inline int kg_conv_is_3x3(const kg_conv_dims_t *dims) {
    return dims->kernel_height == 3 && dims->kernel_width == 3;
}

// Fan-in: weights per output channel.
static inline int32_t kg_conv_columns(const kg_conv_dims_t *dims) {
    return kg_conv_group_inputs(dims) * dims->kernel_height * dims->kernel_width;
}

#endif
