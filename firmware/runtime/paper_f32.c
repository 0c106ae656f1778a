// SPDX-License-Identifier: Apache-2.0
// Recipe "paper" for float32 layers: equation 8 without quantisation.
#include "runtime/gradient.h"
#include "runtime/statistics.h"
#include "runtime/update.h"

void kg_paper_f32_add_row(const kg_parameter_f32_t *p, int32_t row, const float *sums) {
    float *g = p->g + (size_t)row * (size_t)p->matrix.columns;
    float sum = 0.0f;
    float square_sum = 0.0f;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        g[k] += sums[k];
        sum += sums[k];
        square_sum += sums[k] * sums[k];
    }
    kg_statistics_add(&p->statistics[row], sum, square_sum, p->matrix.columns);
}

void kg_paper_f32_add_outer(const kg_parameter_f32_t *p, int32_t row, const float *x, float e) {
    float *g = p->g + (size_t)row * (size_t)p->matrix.columns;
    float sum = 0.0f;
    float square_sum = 0.0f;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        float value = e * x[k];
        g[k] += value;
        sum += value;
        square_sum += value * value;
    }
    kg_statistics_add(&p->statistics[row], sum, square_sum, p->matrix.columns);
}

static void update_row(const kg_parameter_f32_t *p, int32_t row, const kg_training_t *training) {
    kg_row_statistics_t *s = &p->statistics[row];
    kg_statistics_follow(s, training);
    float deviation = kg_statistics_deviation(s);
    float per_unit = deviation > 0.0f ? training->rate / deviation : 0.0f;
    float *g = p->g + (size_t)row * (size_t)p->matrix.columns;
    float *w = p->w + (size_t)row * (size_t)p->matrix.columns;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        w[k] -= (g[k] - s->mean) * per_unit;
        g[k] = 0.0f;
    }
    p->b[row] -= p->gb[row] * per_unit;
    p->gb[row] = 0.0f;
}

void kg_step_paper_f32_update(const void *args, kg_training_t *training) {
    const kg_parameter_f32_t *p = args;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        if (kg_row_is_due(p->marks, row)) {
            update_row(p, row, training);
        }
    }
    kg_clear_marks(p->marks, p->matrix.rows);
}
