// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy in float (a few exponentials per sample), output errors, number format
// borders.
#include "runtime/steps_loss.h"

#include "ops/error.h"
#include "ops/quantise.h"
#include "ops/requant.h"
#include "runtime/dither.h"
#include "runtime/math.h"

static int32_t largest(int32_t count, const float *x) {
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++) {
        best = x[i] > x[best] ? i : best;
    }
    return best;
}

void kg_step_softmax(const void *args, kg_training_t *training) {
    const kg_softmax_t *a = args;
    training->predicted = largest(a->classes, a->logits);
    float top = a->logits[training->predicted];
    float label = a->logits[training->label];
    float sum = 0.0f;
    for (int32_t i = 0; i < a->classes; i++) {
        a->p[i] = kg_expf(a->logits[i] - top);
        sum += a->p[i];
    }
    for (int32_t i = 0; i < a->classes; i++) {
        a->p[i] /= sum;
    }
    training->loss = kg_logf(sum) - (label - top);
}

void kg_step_output_error_u8(const void *args, kg_training_t *training) {
    const kg_output_error_u8_t *a = args;
    for (int32_t i = 0; i < a->classes; i++) {
        float error = a->p[i] - (i == training->label ? 1.0f : 0.0f);
        a->e[i] = (uint8_t)kg_clamp(KG_ERROR_ZERO + kg_round(error / a->scale->scale), 0, 255);
    }
}

// u has 16 bits: a fixed-point error of 16 bits behind the point is exact enough, and cheap to
// round.
void kg_step_output_error_dithered_u8(const void *args, kg_training_t *training) {
    const kg_output_error_u8_t *a = args;
    uint32_t u = kg_dither_start(training->seed, KG_DITHER_OUTPUT, training->samples);
    float unit = 65536.0f / a->scale->scale;
    for (int32_t i = 0; i < a->classes; i++) {
        float error = a->p[i] - (i == training->label ? 1.0f : 0.0f);
        int32_t steps = (kg_round(error * unit) + (int32_t)(u >> 16)) >> 16;
        a->e[i] = (uint8_t)kg_clamp(KG_ERROR_ZERO + steps, 0, 255);
        u += KG_DITHER_STEP;
    }
}

void kg_step_output_error_f32(const void *args, kg_training_t *training) {
    const kg_output_error_f32_t *a = args;
    for (int32_t i = 0; i < a->classes; i++) {
        a->e[i] = a->p[i] - (i == training->label ? 1.0f : 0.0f);
    }
}

void kg_step_dequantise(const void *args, kg_training_t *training) {
    const kg_dequantise_t *a = args;
    (void)training;
    kg_dequantise(a->count, a->x, a->scale, a->zero, a->y);
}

void kg_step_dequantise_backward(const void *args, kg_training_t *training) {
    const kg_dequantise_backward_t *a = args;
    (void)training;
    float peak = 0.0f;
    for (int32_t i = 0; i < a->count; i++) {
        int masked = a->mask != NULL && a->mask[i] <= a->mask_zero;
        float error = masked ? 0.0f : a->e[i];
        peak = kg_maxf(peak, error < 0.0f ? -error : error);
        a->dx[i] =
            (uint8_t)(KG_ERROR_ZERO + kg_clamp(kg_round(error / a->scale->scale), -128, 127));
    }
    kg_error_scale_see(a->scale, peak);
}

void kg_step_quantise(const void *args, kg_training_t *training) {
    const kg_quantise_t *a = args;
    (void)training;
    kg_quantise(a->count, a->x, a->scale, a->zero, a->y);
}

void kg_step_quantise_backward(const void *args, kg_training_t *training) {
    const kg_quantise_backward_t *a = args;
    (void)training;
    float step = a->scale->scale * a->factor;
    for (int32_t i = 0; i < a->count; i++) {
        int masked = a->mask != NULL && a->mask[i] <= 0.0f;
        a->dx[i] = masked ? 0.0f : (float)(a->e[i] - KG_ERROR_ZERO) * step;
    }
}
