// SPDX-License-Identifier: Apache-2.0
// Delayed power-of-two error scales: one comparison per element, no pass over the errors.
#include "runtime/error_scale.h"

#include "runtime/math.h"

#define RANGE_DECAY 0.9f
#define LOWEST_EXPONENT (-60)
#define HIGHEST_EXPONENT 20

void kg_error_scale_see(kg_error_scale_t *error, float peak) {
    error->peak = kg_maxf(error->peak, peak);
}

void kg_step_error_scale_follow(const void *args, kg_training_t *training) {
    (void)training;
    const kg_error_scale_follow_t *a = args;
    kg_error_scale_t *error = a->error;
    float blend = RANGE_DECAY * error->range + (1.0f - RANGE_DECAY) * error->peak;
    error->range = kg_maxf(error->peak, blend);
    error->peak = 0.0f;
    if (error->range < 0x1p-100f) {
        return;  // no error has passed yet
    }
    int32_t exponent = kg_ceil_log2(error->range / a->largest);
    exponent = exponent < LOWEST_EXPONENT ? LOWEST_EXPONENT : exponent;
    error->exponent = exponent > HIGHEST_EXPONENT ? HIGHEST_EXPONENT : exponent;
    error->scale = kg_exp2i(error->exponent);
}
