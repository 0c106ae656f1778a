// SPDX-License-Identifier: Apache-2.0
// The shapes of a pooling operator; global pooling is a window of the whole map.
#ifndef KG_OPS_POOL_H
#define KG_OPS_POOL_H

#include "kilograd/types.h"

// x is (channels, in_height, in_width), y is (channels, out_height, out_width). Every window holds
// at least one element that is not padding.
typedef struct {
    int32_t channels;
    int32_t in_height, in_width;
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t pad_top, pad_left;
} kg_pool_dims_t;

#endif
