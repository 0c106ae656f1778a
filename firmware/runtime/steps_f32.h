// SPDX-License-Identifier: Apache-2.0
// Step functions of float32 layers; see steps_u8.h.
#ifndef KG_RUNTIME_STEPS_F32_H
#define KG_RUNTIME_STEPS_F32_H

#include "ops/average_pool.h"
#include "ops/dims.h"
#include "ops/kept.h"
#include "ops/max_pool.h"
#include "ops/upsample.h"
#include "runtime/gradient.h"

typedef void kg_forward_f32_fn(const kg_conv_dims_t *dims, const float *x, const float *w,
                               const float *b, float y_min, float y_max, float *y, void *scratch);
typedef void kg_weight_gradient_f32_fn(const kg_conv_dims_t *dims, const float *x, const float *e,
                                       int32_t channel, float *row, void *scratch);
typedef void kg_prepare_f32_fn(const kg_conv_dims_t *dims, const float *x, void *scratch);
typedef void kg_input_gradient_f32_fn(const kg_conv_dims_t *dims, const float *e,
                                      const kg_kept_t *kept, const float *w, const float *mask,
                                      float *dx, void *scratch);

typedef struct {
    const kg_conv_dims_t *dims;
    kg_forward_f32_fn *kernel;
    const float *x, *w, *b;
    float y_min, y_max;
    float *y;
    void *scratch;
} kg_forward_f32_t;
void kg_step_forward_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_conv_dims_t *dims;
    kg_prepare_f32_fn *prepare;  // NULL: the kernel needs none
    kg_weight_gradient_f32_fn *kernel;
    kg_add_row_f32_fn *add;
    const float *x, *e;
    const kg_kept_t *kept;
    const kg_parameter_f32_t *parameter;
    float *row;
    void *scratch;
} kg_row_gradient_f32_t;
void kg_step_row_gradient_f32(const void *args, kg_training_t *training);

typedef struct {
    kg_add_outer_f32_fn *add;
    const float *x, *e;
    const kg_kept_t *kept;
    const kg_parameter_f32_t *parameter;
} kg_outer_gradient_f32_t;
void kg_step_outer_gradient_f32(const void *args, kg_training_t *training);

// Only biases train: the sum of each kept row's errors, and no weight gradient.
typedef struct {
    int32_t positions;
    const float *e;
    const kg_kept_t *kept;
    const kg_parameter_f32_t *parameter;
} kg_bias_gradient_f32_t;
void kg_step_bias_gradient_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_conv_dims_t *dims;
    kg_input_gradient_f32_fn *kernel;
    const float *e;
    const kg_kept_t *kept;
    const float *w, *mask;
    float *dx;
    void *scratch;
} kg_input_gradient_f32_t;
void kg_step_input_gradient_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_pool_dims_t *dims;
    const float *x;
    float *y;
    uint8_t *argmax;
} kg_max_pool_f32_t;
void kg_step_max_pool_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_pool_dims_t *dims;
    const float *e;
    const uint8_t *argmax;
    float *dx;
} kg_max_pool_backward_f32_t;
void kg_step_max_pool_backward_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_pool_dims_t *dims;
    const float *x;
    float factor;  // 1 / window
    float *y;
} kg_average_pool_f32_t;
void kg_step_average_pool_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_pool_dims_t *dims;
    const float *e;
    float factor;
    const float *mask;
    float *dx;
} kg_average_pool_backward_f32_t;
void kg_step_average_pool_backward_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_upsample_dims_t *dims;
    const float *x;
    float *y;
} kg_upsample_f32_t;
void kg_step_upsample_f32(const void *args, kg_training_t *training);

typedef struct {
    const kg_upsample_dims_t *dims;
    const float *e;
    float *dx;
} kg_upsample_backward_f32_t;
void kg_step_upsample_backward_f32(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const float *a, *b;
    float y_min, y_max;
    float *y;
} kg_add_f32_t;
void kg_step_add_f32(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const float *a, *b, *mask;
    float *dx;
} kg_join_f32_t;
void kg_step_join_f32(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const float *x;
    float y_min, y_max;
    float *y;
} kg_relu_f32_t;
void kg_step_relu_f32(const void *args, kg_training_t *training);

// A rectified tensor with a clamp from above becomes a mask.
typedef struct {
    int32_t count;
    float y_max;
    float *y;
} kg_relu_mask_f32_t;
void kg_step_relu_mask_f32(const void *args, kg_training_t *training);

#endif
