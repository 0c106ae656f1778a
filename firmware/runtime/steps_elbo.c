// SPDX-License-Identifier: Apache-2.0
// The negative evidence lower bound.
#include "runtime/steps_elbo.h"

#include "ops/error.h"
#include "runtime/dither.h"
#include "runtime/math.h"

#define SOFTPLUS_UNIT 0x1p-16f

// An autoencoder tells no classes apart.
static void finish(kg_training_t *training, float reconstruction, const float *divergence) {
    training->predicted = 0;
    training->loss = reconstruction + *divergence;
}

void kg_step_elbo_u8(const void *args, kg_training_t *training) {
    const kg_elbo_u8_t *a = args;
    int64_t softplus = 0;
    int64_t products = 0;
    for (int32_t i = 0; i < a->count; i++) {
        softplus += a->softplus[a->logits[i]];
        products += (a->logits[i] - a->logit_zero) * (a->x[i] - a->x_zero);
    }
    finish(training, (float)softplus * SOFTPLUS_UNIT - (float)products * a->unit, a->divergence);
}

// In 2^-23.
static int32_t error_of(const kg_elbo_error_u8_t *a, int32_t i) {
    return a->sigmoid[a->logits[i]] - (a->x[i] - a->x_zero) * a->x_unit;
}

void kg_step_elbo_error_u8(const void *args, kg_training_t *training) {
    const kg_elbo_error_u8_t *a = args;
    (void)training;
    for (int32_t i = 0; i < a->count; i++) {
        a->e[i] = kg_error(error_of(a, i), a->factor);
    }
}

void kg_step_elbo_error_dithered_u8(const void *args, kg_training_t *training) {
    const kg_elbo_error_u8_t *a = args;
    uint32_t u = kg_dither_start(training->seed, KG_DITHER_OUTPUT, training->samples);
    for (int32_t i = 0; i < a->count; i++) {
        int32_t steps = (error_of(a, i) + (int32_t)(u >> 16)) >> 16;
        a->e[i] = (uint8_t)kg_clamp(KG_ERROR_ZERO + steps, 0, 255);
        u += KG_DITHER_STEP;
    }
}

static float input_of(const float *x, const uint8_t *x_u8, float scale, int32_t zero, int32_t i) {
    return x != NULL ? x[i] : (float)(x_u8[i] - zero) * scale;
}

void kg_step_elbo_f32(const void *args, kg_training_t *training) {
    const kg_elbo_f32_t *a = args;
    float sum = 0.0f;
    for (int32_t i = 0; i < a->count; i++) {
        float logit = a->logits[i];
        float softplus =
            kg_maxf(logit, 0.0f) + kg_logf(1.0f + kg_expf(logit < 0.0f ? logit : -logit));
        sum += softplus - input_of(a->x, a->x_u8, a->x_scale, a->x_zero, i) * logit;
    }
    finish(training, sum, a->divergence);
}

static float sigmoid(float logit) {
    float power = kg_expf(logit < 0.0f ? logit : -logit);
    return (logit < 0.0f ? power : 1.0f) / (1.0f + power);
}

void kg_step_elbo_error_f32(const void *args, kg_training_t *training) {
    const kg_elbo_error_f32_t *a = args;
    (void)training;
    for (int32_t i = 0; i < a->count; i++) {
        a->e[i] = sigmoid(a->logits[i]) - input_of(a->x, a->x_u8, a->x_scale, a->x_zero, i);
    }
}
