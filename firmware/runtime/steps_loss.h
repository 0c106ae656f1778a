// SPDX-License-Identifier: Apache-2.0
// Step functions at the ends of a net: softmax cross-entropy, the output error, and borders between
// number formats.
#ifndef KG_RUNTIME_STEPS_LOSS_H
#define KG_RUNTIME_STEPS_LOSS_H

#include "runtime/error_scale.h"

// p = softmax(logits); sets training->loss = -log p[label] and training->predicted.
typedef struct {
    int32_t classes;
    const float *logits;
    float *p;
} kg_softmax_t;
void kg_step_softmax(const void *args, kg_training_t *training);

// e = p - onehot(label), in uint8 with the scale of the output error, or in float32 (e may be p).
typedef struct {
    int32_t classes;
    const float *p;
    const kg_error_scale_t *scale;
    uint8_t *e;
} kg_output_error_u8_t;
void kg_step_output_error_u8(const void *args, kg_training_t *training);

// The same rounded stochastically, e = floor(error / scale + u): many classes have errors below
// half a step each, which together push the wrong logits down, and which rounding to nearest loses.
void kg_step_output_error_dithered_u8(const void *args, kg_training_t *training);

typedef struct {
    int32_t classes;
    const float *p;
    float *e;
} kg_output_error_f32_t;
void kg_step_output_error_f32(const void *args, kg_training_t *training);

// uint8 -> float32 between two layers, and the error on its way back (mask: x where its producer
// has a ReLU).
typedef struct {
    int32_t count;
    const uint8_t *x;
    float scale;
    int32_t zero;
    float *y;
} kg_dequantise_t;
void kg_step_dequantise(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const float *e;
    const uint8_t *mask;
    int32_t mask_zero;
    kg_error_scale_t *scale;
    uint8_t *dx;
} kg_dequantise_backward_t;
void kg_step_dequantise_backward(const void *args, kg_training_t *training);

// float32 -> uint8 between two layers, and the error on its way back.
typedef struct {
    int32_t count;
    const float *x;
    float scale;
    int32_t zero;
    uint8_t *y;
} kg_quantise_t;
void kg_step_quantise(const void *args, kg_training_t *training);

typedef struct {
    int32_t count;
    const uint8_t *e;
    const kg_error_scale_t *scale;
    float factor;
    const float *mask;
    float *dx;
} kg_quantise_backward_t;
void kg_step_quantise_backward(const void *args, kg_training_t *training);

#endif
