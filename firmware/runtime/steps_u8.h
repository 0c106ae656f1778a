// SPDX-License-Identifier: Apache-2.0
// Step functions of uint8 layers: each unpacks its constant arguments and calls a kernel.
//
// Arguments live in flash; what they point to is in the arena, in the trained state, or in flash
// too.
#ifndef KG_RUNTIME_STEPS_U8_H
#define KG_RUNTIME_STEPS_U8_H

#include "ops/add.h"
#include "ops/average_pool.h"
#include "ops/dims.h"
#include "ops/join.h"
#include "ops/kept.h"
#include "ops/max_pool.h"
#include "ops/upsample.h"
#include "runtime/error_scale.h"
#include "runtime/gradient.h"

// An error tensor's real step is error->scale * factor.
typedef struct {
    kg_error_scale_t *error;
    float factor;
} kg_error_ref_t;

static inline float kg_error_step(kg_error_ref_t ref) {
    return ref.error->scale * ref.factor;
}

// A factor between errors in fixed point, at most 8: sums below 2^28 then fit 32 bits. Only an
// error scale that has followed vanishing errors asks for more: what it saturates is renewed with
// the next minibatch.
kg_requant_t kg_limited_factor(float factor);

// --- weighted layers: conv2d and linear
// -----------------------------------------------------------------------------

typedef void kg_forward_u8_fn(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                              const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                              void *scratch);
typedef void kg_weight_gradient_u8_fn(const kg_conv_dims_t *dims, const uint8_t *x,
                                      const uint8_t *e, const kg_conv_quant_t *quant,
                                      int32_t channel, int32_t *row, void *scratch);
typedef void kg_prepare_u8_fn(const kg_conv_dims_t *dims, const uint8_t *x,
                              const kg_conv_quant_t *quant, int32_t rows, void *scratch);
typedef int32_t kg_input_gradient_u8_fn(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch);

typedef struct {
    const kg_conv_dims_t *dims;
    kg_forward_u8_fn *kernel;
    const uint8_t *x, *w;
    const int32_t *b;
    const kg_conv_quant_t *quant;
    uint8_t *y;
    void *scratch;
} kg_forward_u8_t;
void kg_step_forward_u8(const void *args, kg_training_t *training);

// The last layer: float logits straight from the accumulator.
typedef struct {
    const kg_conv_dims_t *dims;
    const uint8_t *x, *w;
    const int32_t *b;
    const kg_conv_quant_t *quant;
    const float *w_scale;
    float x_scale;
    float *logits;
} kg_logits_u8_t;
void kg_step_logits_u8(const void *args, kg_training_t *training);

// Convolution: a row of sums for each kept output channel with an error, handed to the recipe.
typedef struct {
    const kg_conv_dims_t *dims;
    kg_prepare_u8_fn *prepare;  // NULL: the kernel needs none
    kg_weight_gradient_u8_fn *kernel;
    kg_add_row_u8_fn *add;
    const uint8_t *x, *e;
    const kg_kept_t *kept;
    const kg_parameter_u8_t *parameter;
    int32_t *row;
    void *scratch;
} kg_row_gradient_u8_t;
void kg_step_row_gradient_u8(const void *args, kg_training_t *training);

// Linear: every kept output with an error adds its multiple of x.
typedef struct {
    kg_add_outer_u8_fn *add;
    const uint8_t *x, *e;
    const kg_kept_t *kept;
    const kg_parameter_u8_t *parameter;
} kg_outer_gradient_u8_t;
void kg_step_outer_gradient_u8(const void *args, kg_training_t *training);

// Only biases train: the sum of each kept row's errors, and no weight gradient.
typedef struct {
    int32_t positions;
    const uint8_t *e;
    const kg_kept_t *kept;
    const kg_parameter_u8_t *parameter;
} kg_bias_gradient_u8_t;
void kg_step_bias_gradient_u8(const void *args, kg_training_t *training);

typedef struct {
    const kg_conv_dims_t *dims;
    kg_input_gradient_u8_fn *kernel;
    const uint8_t *e;
    const kg_kept_t *kept;
    const uint8_t *w, *mask;  // mask: the input tensor where its producer has a ReLU, else NULL
    const kg_conv_quant_t *quant;
    uint8_t *dx;
    void *scratch;
    const float *w_scale;
    kg_error_ref_t e_scale;
    kg_error_scale_t *dx_scale;
} kg_input_gradient_u8_t;
void kg_step_input_gradient_u8(const void *args, kg_training_t *training);

// Update step: the layer's fixed-point factors after its weights' or errors' scales have moved.
typedef struct {
    kg_conv_quant_t *quant;
    const float *w_scale;
    float x_scale, y_scale;
    kg_error_ref_t e_scale;
    const kg_error_scale_t *dx_scale;  // NULL: no input gradient
} kg_refresh_u8_t;
void kg_step_refresh_u8(const void *args, kg_training_t *training);

// --- layers without weights
// ------------------------------------------------------------------------------------------

typedef struct {
    const kg_pool_dims_t *dims;
    const uint8_t *x;
    uint8_t *y, *argmax;
} kg_max_pool_u8_t;
void kg_step_max_pool_u8(const void *args, kg_training_t *training);
void kg_step_max_pool_u8_host(const void *args, kg_training_t *training);
void kg_step_max_pool_u8_dsp(const void *args, kg_training_t *training);

typedef struct {
    const kg_pool_dims_t *dims;
    const uint8_t *e, *argmax;
    const kg_kept_t *kept;  // channels of dx that are written
    uint8_t *dx;
} kg_max_pool_backward_u8_t;
void kg_step_max_pool_backward_u8(const void *args, kg_training_t *training);
void kg_step_max_pool_backward_u8_host(const void *args, kg_training_t *training);
void kg_step_max_pool_backward_u8_dsp(const void *args, kg_training_t *training);

// What these have in common: `kernel` once for all channels, or for each that is kept.
typedef void kg_max_pool_u8_backward_fn(const kg_pool_dims_t *dims, const uint8_t *e,
                                        const uint8_t *argmax, uint8_t *dx);
void kg_max_pool_backward_kept(const kg_max_pool_backward_u8_t *a,
                               kg_max_pool_u8_backward_fn *kernel);

typedef struct {
    const kg_pool_dims_t *dims;
    const kg_average_pool_quant_t *quant;
    const uint8_t *x;
    uint8_t *y;
} kg_average_pool_u8_t;
void kg_step_average_pool_u8(const void *args, kg_training_t *training);

typedef struct {
    const kg_pool_dims_t *dims;
    const kg_average_pool_quant_t *quant;
    const uint8_t *e, *mask;
    uint8_t *dx;
} kg_average_pool_backward_u8_t;
void kg_step_average_pool_backward_u8(const void *args, kg_training_t *training);

typedef struct {
    const kg_upsample_dims_t *dims;
    const uint8_t *x;
    uint8_t *y;
} kg_upsample_u8_t;
void kg_step_upsample_u8(const void *args, kg_training_t *training);

typedef struct {
    const kg_upsample_dims_t *dims;
    const uint8_t *e;
    const kg_requant_t *factor;
    uint8_t *dx;
    kg_error_ref_t e_scale;
    kg_error_scale_t *dx_scale;
} kg_upsample_backward_u8_t;
void kg_step_upsample_backward_u8(const void *args, kg_training_t *training);

// Update step: the factor of the way back after an error scale has moved.
typedef struct {
    kg_requant_t *factor;
    kg_error_ref_t e_scale;
    const kg_error_scale_t *dx_scale;
} kg_upsample_refresh_u8_t;
void kg_step_upsample_refresh_u8(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const uint8_t *a, *b;
    const kg_add_quant_t *quant;
    uint8_t *y;
} kg_add_u8_t;
void kg_step_add_u8(const void *args, kg_training_t *training);

// One error, or the sum of two, brought to the scale of dx (b NULL: one).
typedef struct {
    int32_t count;
    const uint8_t *a, *b, *mask;
    int32_t mask_zero;
    const kg_add_quant_t *quant;
    uint8_t *dx;
    kg_error_scale_t *dx_scale;
} kg_join_u8_t;
void kg_step_join_u8(const void *args, kg_training_t *training);

// Update step: the join's integer weights after an error scale has moved.
typedef struct {
    kg_add_quant_t *quant;
    kg_error_ref_t a_scale, b_scale;  // b_scale.error NULL: one error
    const kg_error_scale_t *dx_scale;
} kg_join_refresh_u8_t;
void kg_step_join_refresh_u8(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const uint8_t *x;
    int32_t y_min, y_max;
    uint8_t *y;
} kg_relu_u8_t;
void kg_step_relu_u8(const void *args, kg_training_t *training);

// A rectified tensor with a clamp from above becomes a mask.
typedef struct {
    int32_t count;
    int32_t zero, y_max;
    uint8_t *y;
} kg_relu_mask_u8_t;
void kg_step_relu_mask_u8(const void *args, kg_training_t *training);

#endif
