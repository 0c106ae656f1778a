// SPDX-License-Identifier: Apache-2.0
// The loss of a variational autoencoder, the negative evidence lower bound: Bernoulli
// reconstruction of the input plus the divergence of the latent variables, in nats.
//
// An element x of [0, 1] with logit l costs softplus(l) - x l; its error is sigmoid(l) - x.
#ifndef KG_RUNTIME_STEPS_ELBO_H
#define KG_RUNTIME_STEPS_ELBO_H

#include "kilograd/model.h"

// Logits in uint8: no float but the last sum. Tables hold a value for each of the 256 logits.
typedef struct {
    int32_t count;
    const uint8_t *logits, *x;
    int32_t logit_zero, x_zero;
    float unit;               // of the product of a logit and an x
    const int32_t *softplus;  // (256), unit 2^-16
    const float *divergence;
} kg_elbo_u8_t;
void kg_step_elbo_u8(const void *args, kg_training_t *training);

// e may be the same array as logits.
typedef struct {
    int32_t count;
    const uint8_t *logits, *x;
    int32_t x_zero;
    int32_t x_unit;          // of x, in 2^-23
    const int32_t *sigmoid;  // (256), unit 2^-23
    kg_requant_t factor;     // 2^-23 / scale of the error
    uint8_t *e;
} kg_elbo_error_u8_t;
void kg_step_elbo_error_u8(const void *args, kg_training_t *training);

// Rounded stochastically, for errors of scale 2^-7: what an even background needs is less than half
// a step in each of its pixels.
void kg_step_elbo_error_dithered_u8(const void *args, kg_training_t *training);

// Logits in float32, inputs in either format.
typedef struct {
    int32_t count;
    const float *logits;
    const float *x;  // NULL: the inputs are x_u8
    const uint8_t *x_u8;
    float x_scale;
    int32_t x_zero;
    const float *divergence;
} kg_elbo_f32_t;
void kg_step_elbo_f32(const void *args, kg_training_t *training);

// e may be the same array as logits.
typedef struct {
    int32_t count;
    const float *logits;
    const float *x;
    const uint8_t *x_u8;
    float x_scale;
    int32_t x_zero;
    float *e;
} kg_elbo_error_f32_t;
void kg_step_elbo_error_f32(const void *args, kg_training_t *training);

#endif
