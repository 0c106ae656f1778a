// SPDX-License-Identifier: Apache-2.0
// The latent variables of a variational autoencoder.
#include "runtime/steps_latent.h"

#include <string.h>

#include "ops/clamp.h"
#include "ops/error.h"
#include "ops/quantise.h"
#include "runtime/math.h"
#include "runtime/normal.h"

#define LARGEST_LOG_VARIANCE 8.0f

// A hash over the means: it tells evaluated samples apart, which no counter counts.
static uint32_t hash_of(int32_t count, const float *means) {
    uint32_t hash = 0x811C9DC5u;
    for (int32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &means[i], sizeof bits);
        hash = (hash ^ bits) * 0x01000193u;
    }
    return hash;
}

// Leaves eps and sigma in the noise; returns the divergence: half the sum of
// mean^2 + sigma^2 - 1 - log-variance.
static float draw(const kg_latent_t *latent, uint32_t stream, const kg_training_t *training) {
    int32_t count = latent->count;
    uint32_t tick = training->samples + hash_of(count, latent->heads);
    float divergence = 0.0f;
    for (int32_t i = 0; i < count; i++) {
        float mean = latent->heads[i];
        float log_variance =
            kg_clampf(latent->heads[count + i], -LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE);
        float sigma = kg_expf(0.5f * log_variance);
        latent->noise[i] = kg_normal(training->seed, stream, tick, (uint32_t)i);
        latent->noise[count + i] = sigma;
        divergence += 0.5f * (mean * mean + sigma * sigma - 1.0f - log_variance);
    }
    return divergence;
}

static float value_of(const kg_latent_t *latent, int32_t i) {
    return latent->heads[i] + latent->noise[latent->count + i] * latent->noise[i];
}

void kg_step_sample_u8(const void *args, kg_training_t *training) {
    const kg_sample_u8_t *a = args;
    *a->divergence = draw(&a->latent, a->stream, training);
    for (int32_t i = 0; i < a->latent.count; i++) {
        float z = value_of(&a->latent, i);
        kg_quantise(1, &z, a->scale, a->zero, a->z + i);
    }
}

void kg_step_sample_f32(const void *args, kg_training_t *training) {
    const kg_sample_f32_t *a = args;
    *a->divergence = draw(&a->latent, a->stream, training);
    for (int32_t i = 0; i < a->latent.count; i++) {
        a->z[i] = value_of(&a->latent, i);
    }
}

// One latent variable, dz the error of its z. The bounds of the log-variance let errors pass, so
// that what has left them can come back.
static void propagate(const kg_latent_t *latent, int32_t i, float dz, float *dheads) {
    float eps = latent->noise[i];
    float sigma = latent->noise[latent->count + i];
    dheads[i] = dz + latent->heads[i];
    dheads[latent->count + i] = 0.5f * (dz * eps * sigma + sigma * sigma - 1.0f);
}

void kg_step_sample_backward_u8(const void *args, kg_training_t *training) {
    const kg_sample_backward_u8_t *a = args;
    float step = a->e_scale.error->scale * a->e_scale.factor;
    (void)training;
    for (int32_t i = 0; i < a->latent.count; i++) {
        propagate(&a->latent, i, (float)(a->e[i] - KG_ERROR_ZERO) * step, a->dheads);
    }
}

void kg_step_sample_backward_f32(const void *args, kg_training_t *training) {
    const kg_sample_backward_f32_t *a = args;
    (void)training;
    for (int32_t i = 0; i < a->latent.count; i++) {
        propagate(&a->latent, i, a->e[i], a->dheads);
    }
}
