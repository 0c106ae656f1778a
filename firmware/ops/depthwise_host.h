// SPDX-License-Identifier: Apache-2.0
// The sums of depthwise convolutions on the host.
#ifndef KG_OPS_DEPTHWISE_HOST_H
#define KG_OPS_DEPTHWISE_HOST_H

#include "ops/depthwise.h"

// scratch: kg_depthwise_u8_forward_scratch_bytes.
void kg_depthwise_u8_forward_host(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                  const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                  void *scratch);

// The input gradient of one channel before rounding: sums are (in_height, in_width); e and w are
// the channel's.
void kg_depthwise_u8_spread_host(const kg_conv_dims_t *dims, const uint8_t *e, const uint8_t *w,
                                 int32_t w_zero, int32_t factor, int32_t *sums);

#endif
