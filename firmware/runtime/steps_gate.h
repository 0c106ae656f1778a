// SPDX-License-Identifier: Apache-2.0
// Step functions of functions of one number and of channel-wise products.
#ifndef KG_RUNTIME_STEPS_GATE_H
#define KG_RUNTIME_STEPS_GATE_H

#include "ops/activation.h"
#include "ops/mul.h"
#include "runtime/steps_u8.h"

// --- functions of one number ---------------------------------------------------------------------

typedef struct {
    int32_t count;
    const uint8_t *x, *values;
    uint8_t *y;
} kg_activation_u8_t;
void kg_step_activation_u8(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const uint8_t *x, *e;
    const int16_t *slopes;
    const kg_requant_t *factor;
    float unit;  // real slope of 1 in slopes
    uint8_t *dx;
    kg_error_ref_t e_scale;
    kg_error_scale_t *dx_scale;
} kg_activation_backward_u8_t;
void kg_step_activation_backward_u8(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    kg_activation_f32_fn *kernel;
    const float *x;
    kg_line_t line;
    float *y;
} kg_activation_f32_t;
void kg_step_activation_f32(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    kg_activation_backward_f32_fn *kernel;
    const float *x;
    kg_line_t line;
    const float *e, *mask;
    float *dx;
} kg_activation_backward_f32_t;
void kg_step_activation_backward_f32(const void *args, kg_training_t *training);

// --- channel-wise products -----------------------------------------------------------------------

typedef struct {
    const kg_mul_quant_t *quant;
    const uint8_t *x, *gate;
    uint8_t *y;
} kg_mul_u8_t;
void kg_step_mul_u8(const void *args, kg_training_t *training);

// One side of the product: the error of a map from its gates, or that of the gates from their map.
typedef int32_t kg_mul_gradient_u8_fn(const kg_mul_quant_t *quant, const uint8_t *e,
                                      const uint8_t *other, kg_requant_t backward,
                                      const uint8_t *mask, uint8_t *dx);
typedef struct {
    const kg_mul_quant_t *quant;
    kg_mul_gradient_u8_fn *kernel;
    const uint8_t *e, *other, *mask;
    const kg_requant_t *factor;
    float unit;  // scale of the other side
    uint8_t *dx;
    kg_error_ref_t e_scale;
    kg_error_scale_t *dx_scale;
} kg_mul_gradient_u8_t;
void kg_step_mul_gradient_u8(const void *args, kg_training_t *training);

typedef struct {
    int32_t channels, positions;
    const float *x, *gate;
    float *y;
} kg_mul_f32_t;
void kg_step_mul_f32(const void *args, kg_training_t *training);

typedef void kg_mul_gradient_f32_fn(int32_t channels, int32_t positions, const float *e,
                                    const float *other, const float *mask, float *dx);
typedef struct {
    int32_t channels, positions;
    kg_mul_gradient_f32_fn *kernel;
    const float *e, *other, *mask;
    float *dx;
} kg_mul_gradient_f32_t;
void kg_step_mul_gradient_f32(const void *args, kg_training_t *training);

// --- their factors -------------------------------------------------------------------------------

// Update step: the fixed-point factor between two errors, after one of their scales has moved.
typedef struct {
    kg_requant_t *factor;
    float unit;
    kg_error_ref_t e_scale;
    const kg_error_scale_t *dx_scale;
} kg_factor_refresh_u8_t;
void kg_step_factor_refresh_u8(const void *args, kg_training_t *training);

#endif
