// SPDX-License-Identifier: Apache-2.0
// Scales of the uint8 errors: a power of two for each error tensor, chosen per minibatch from the
// previous one.
#ifndef KG_RUNTIME_ERROR_SCALE_H
#define KG_RUNTIME_ERROR_SCALE_H

#include "kilograd/model.h"

// real error = scale * (q - 128). Tensors that only route errors (pooling) share their consumer's
// object.
typedef struct {
    float scale;
    int32_t exponent;  // scale == 2^exponent, where the scale adapts
    float peak;        // largest |real error| before the clamp, in this minibatch
    float range;       // running maximum of the peaks
} kg_error_scale_t;

void kg_error_scale_see(kg_error_scale_t *error, float peak);

typedef struct {
    kg_error_scale_t *error;
    float largest;  // steps of the largest error of a minibatch; what is above 127 saturates
} kg_error_scale_follow_t;

// Update step, args: kg_error_scale_follow_t. Ends the minibatch: the scale follows the range of
// the errors.
void kg_step_error_scale_follow(const void *args, kg_training_t *training);

#endif
