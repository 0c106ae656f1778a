// SPDX-License-Identifier: Apache-2.0
// Step functions of a variational autoencoder's latent variables, in float (a few numbers per
// sample): z = mean + sigma eps, and the way back.
#ifndef KG_RUNTIME_STEPS_LATENT_H
#define KG_RUNTIME_STEPS_LATENT_H

#include "runtime/steps_u8.h"

// The distribution N(mean, sigma^2) of `count` latent variables, and what its number was drawn
// with. sigma^2 = exp(log-variance), which is held inside [-8, 8].
typedef struct {
    int32_t count;
    const float *heads;  // (2 count): means, then log-variances
    float *noise;        // (2 count): eps, then sigma; kept for the way back
} kg_latent_t;

// Draws eps, a function of (seed, samples seen, the means): a training sample has another one every
// time, an evaluated sample the same as long as the model is the same. Leaves in *divergence the
// Kullback-Leibler divergence from N(0, 1) in nats.
typedef struct {
    kg_latent_t latent;
    uint32_t stream;  // of the random numbers, different for every step of a model
    float *divergence;
    float scale;  // of z
    int32_t zero;
    uint8_t *z;
} kg_sample_u8_t;
void kg_step_sample_u8(const void *args, kg_training_t *training);

typedef struct {
    kg_latent_t latent;
    uint32_t stream;
    float *divergence;
    float *z;
} kg_sample_f32_t;
void kg_step_sample_f32(const void *args, kg_training_t *training);

// The error of means and log-variances, in float: that of z through the drawing, plus the
// divergence's own. dheads is (2 count) and may be latent.noise.
typedef struct {
    kg_latent_t latent;
    const uint8_t *e;
    kg_error_ref_t e_scale;
    float *dheads;
} kg_sample_backward_u8_t;
void kg_step_sample_backward_u8(const void *args, kg_training_t *training);

typedef struct {
    kg_latent_t latent;
    const float *e;
    float *dheads;
} kg_sample_backward_f32_t;
void kg_step_sample_backward_f32(const void *args, kg_training_t *training);

#endif
