// SPDX-License-Identifier: Apache-2.0
// Recipes "sgd_m" and "sgd_m_qas" for float32 layers: SGD with momentum. Nothing is quantised, so
// nothing is scaled, and both are the same.
#include "runtime/gradient.h"
#include "runtime/update.h"

#define MOMENTUM 0.9f

// v <- 0.9 v + sum of the minibatch, in the gradient's own buffer; w -= rate / batch v. Rows that
// are not due wait with their momentum.
static void step(float *w, float *g, int32_t count, float rate) {
    for (int32_t i = 0; i < count; i++) {
        w[i] -= rate * g[i];
        g[i] *= MOMENTUM;
    }
}

void kg_step_sgd_f32_update(const void *args, kg_training_t *training) {
    const kg_parameter_f32_t *p = args;
    float rate = training->rate / (float)training->batch;
    int32_t columns = p->matrix.columns;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        if (kg_row_is_due(p->marks, row)) {
            if (p->g != NULL) {
                step(p->w + row * columns, p->g + row * columns, columns, rate);
            }
            step(p->b + row, p->gb + row, 1, rate);
        }
    }
    kg_clear_marks(p->marks, p->matrix.rows);
}
