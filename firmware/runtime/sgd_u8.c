// SPDX-License-Identifier: Apache-2.0
// Recipes "sgd_m" and "sgd_m_qas" for uint8 layers: float gradients, momentum, nearest rounding on
// the weights' own fixed grid.
//
// Lin et al., "On-Device Training Under 256KB Memory", section 3.1, train the quantised weights
// W' = W / s_w and biases b' = b / (s_w s_x) by SGD. As W' is what is stepped, the chain rule gives
//
//   G_W' = s_w G_W      G_b' = s_w s_x G_b      and plain SGD moves   W by rate s_w^2 G_W.
//
// A weight so moves by s_w^2 of what it moves in float. Quantisation-aware scaling (QAS) undoes it:
//
//   G_W' <- G_W' s_w^-2      G_b' <- G_b' s_w^-2 s_x^-2      so that   W moves by rate G_W.
//
// Here g is G_W in real units, times its momentum: v <- 0.9 v + mean of the minibatch, kept as the
// sum over the minibatch in one buffer, as the samples add to what the last update has left.
#include "ops/requant.h"
#include "runtime/gradient.h"
#include "runtime/math.h"
#include "runtime/update.h"

#define MOMENTUM 0.9f
#define LARGEST_STEP 256  // quanta: beyond it every weight saturates

static float gradient_unit(const kg_parameter_u8_t *p, int32_t fraction) {
    return p->error->scale * p->error_factor * p->x_scale * kg_exp2i(-fraction);
}

void kg_sgd_u8_add_row(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                       const int32_t *sums, int32_t fraction) {
    (void)training;
    float *g = (float *)p->g + (size_t)row * (size_t)p->matrix.columns;
    float unit = gradient_unit(p, fraction);
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        g[k] += unit * (float)sums[k];
    }
}

void kg_sgd_u8_add_outer(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                         const uint8_t *x, int32_t e, int32_t fraction) {
    (void)training;
    float *g = (float *)p->g + (size_t)row * (size_t)p->matrix.columns;
    float unit = gradient_unit(p, fraction);
    int32_t zero = p->quant->x_zero;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        g[k] += unit * (float)(e * (x[k] - zero));
    }
}

// per_unit: quanta per unit of g.
static void step_weights(const kg_parameter_u8_t *p, float per_unit) {
    float *g = p->g;
    uint8_t *w = p->w;
    for (int32_t row = 0; g != NULL && row < p->matrix.rows; row++) {
        for (int32_t k = 0; k < p->matrix.columns && kg_row_is_due(p->marks, row); k++) {
            int32_t step = kg_clamp(kg_round(g[k] * per_unit), -LARGEST_STEP, LARGEST_STEP);
            w[k] = (uint8_t)kg_clamp(w[k] - step, 0, 255);
            g[k] *= MOMENTUM;
        }
        w += p->matrix.columns;
        g += p->matrix.columns;
    }
}

// gb holds the errors of this minibatch in whole steps of the scale that they were made with.
static void step_biases(const kg_parameter_u8_t *p, float per_unit) {
    float error_step = kg_exp2i(p->state->e_exponent) * p->error_factor;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        if (!kg_row_is_due(p->marks, row)) {
            continue;  // its momentum waits
        }
        float velocity = p->bias_momentum[row] + (float)p->gb[row] * error_step;
        kg_bias_step(&p->b[row], kg_round(velocity * per_unit));
        p->bias_momentum[row] = velocity * MOMENTUM;
        p->gb[row] = 0;
    }
    p->state->e_exponent = p->error->exponent;
}

void kg_step_sgd_m_u8_update(const void *args, kg_training_t *training) {
    const kg_parameter_u8_t *p = args;
    float rate = training->rate / (float)training->batch;
    float s_w = p->state->w_scale;
    step_weights(p, rate * s_w);
    step_biases(p, rate * (s_w * p->x_scale));
    kg_clear_marks(p->marks, p->matrix.rows);
}

void kg_step_sgd_m_qas_u8_update(const void *args, kg_training_t *training) {
    const kg_parameter_u8_t *p = args;
    float rate = training->rate / (float)training->batch;
    float s_w = p->state->w_scale;
    step_weights(p, rate / s_w);
    step_biases(p, rate / (s_w * p->x_scale));
    kg_clear_marks(p->marks, p->matrix.rows);
}
