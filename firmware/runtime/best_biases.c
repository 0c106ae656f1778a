// SPDX-License-Identifier: Apache-2.0
// Recipe "best" where only biases train: weights stay in flash, and no weight gradient exists that
// could tell how large a step is. The biases of a layer take its place:
//
//   b -= rate gb / rms(gb), the root mean square over the rows of the layer; gb keeps 7/8.
//
// Steps have an absolute size as those of weights have; without the mean, as all biases of a layer
// may have to move the same way.
#include "ops/requant.h"
#include "runtime/math.h"
#include "runtime/update.h"

#define MOMENTUM_SHIFT 3
#define MOMENTUM 0.875f

// gb counts errors in steps of their scale: it follows where that has moved.
static void follow_error_exponent(const kg_parameter_u8_t *p) {
    int32_t change = p->error->exponent - p->state->e_exponent;
    if (change == 0) {
        return;
    }
    p->state->e_exponent = p->error->exponent;
    kg_requant_t factor = kg_requant_make(kg_exp2i(-change));
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        p->gb[row] = kg_requant(p->gb[row], factor);
    }
}

void kg_step_best_u8_update_biases(const void *args, kg_training_t *training) {
    const kg_parameter_u8_t *p = args;
    float squares = 0.0f;
    follow_error_exponent(p);
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        squares += (float)p->gb[row] * (float)p->gb[row];
    }
    float rms = kg_sqrtf(squares / (float)p->matrix.rows);
    float per_unit = rms > 0.0f ? training->rate / (rms * p->state->w_scale * p->x_scale) : 0.0f;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        kg_bias_step(&p->b[row], kg_round((float)p->gb[row] * per_unit));
        p->gb[row] -= p->gb[row] >> MOMENTUM_SHIFT;
    }
}

void kg_step_best_f32_update_biases(const void *args, kg_training_t *training) {
    const kg_parameter_f32_t *p = args;
    float squares = 0.0f;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        squares += p->gb[row] * p->gb[row];
    }
    float rms = kg_sqrtf(squares / (float)p->matrix.rows);
    float per_unit = rms > 0.0f ? training->rate / rms : 0.0f;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        p->b[row] -= p->gb[row] * per_unit;
        p->gb[row] *= MOMENTUM;
    }
}
