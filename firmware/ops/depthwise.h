// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution, one input and one output channel per group: how conv2d.h does this case.
//
// No other channel would share a list of operands here, so the sums of a whole row grow tap by tap.
// The functions mean what their namesakes in conv2d.h mean.
#ifndef KG_OPS_DEPTHWISE_H
#define KG_OPS_DEPTHWISE_H

#include <stdbool.h>

#include "ops/dims.h"
#include "ops/kept.h"
#include "ops/taps_u8.h"

static inline bool kg_conv_is_depthwise(const kg_conv_dims_t *dims) {
    return dims->groups == dims->in_channels && dims->groups == dims->out_channels;
}

size_t kg_depthwise_u8_forward_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_depthwise_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);
void kg_depthwise_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                             const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                             void *scratch);
int32_t kg_depthwise_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                       const kg_kept_t *kept, const uint8_t *w,
                                       const kg_conv_quant_t *quant, const uint8_t *mask,
                                       uint8_t *dx, void *scratch);

size_t kg_depthwise_f32_forward_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_depthwise_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims);
void kg_depthwise_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                              const float *b, float y_min, float y_max, float *y, void *scratch);
void kg_depthwise_f32_input_gradient(const kg_conv_dims_t *dims, const float *e,
                                     const kg_kept_t *kept, const float *w, const float *mask,
                                     float *dx, void *scratch);

// The same for cores with the DSP extension.
size_t kg_depthwise_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims);
int32_t kg_depthwise_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                           const kg_kept_t *kept, const uint8_t *w,
                                           const kg_conv_quant_t *quant, const uint8_t *mask,
                                           uint8_t *dx, void *scratch);
size_t kg_depthwise_u8_forward_dsp_scratch_bytes(const kg_conv_dims_t *dims);
void kg_depthwise_u8_forward_dsp(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                 const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                 void *scratch);

// The same for Cortex-M0+, forward for any convolution. kg_channel is one output channel of any
// convolution, x at its group, e at the channel; capacity is that of the list of errors.
size_t kg_depthwise_u8_forward_v6m_scratch_bytes(const kg_conv_dims_t *dims);
size_t kg_depthwise_u8_input_gradient_v6m_scratch_bytes(const kg_conv_dims_t *dims);
void kg_channel_u8_weight_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *x,
                                       const uint8_t *e, int32_t x_zero, int32_t capacity,
                                       int32_t *row, kg_tap_t *taps);
void kg_depthwise_u8_forward_v6m(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                                 const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                                 void *scratch);
int32_t kg_depthwise_u8_input_gradient_v6m(const kg_conv_dims_t *dims, const uint8_t *e,
                                           const kg_kept_t *kept, const uint8_t *w,
                                           const kg_conv_quant_t *quant, const uint8_t *mask,
                                           uint8_t *dx, void *scratch);

#endif
