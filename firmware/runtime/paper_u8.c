// SPDX-License-Identifier: Apache-2.0
// Recipe "paper" for uint8 layers, equations 5 to 8 as published: float gradients, nearest
// rounding, min/max ranges.
#include "ops/requant.h"
#include "runtime/gradient.h"
#include "runtime/math.h"
#include "runtime/statistics.h"
#include "runtime/update.h"

static float gradient_unit(const kg_parameter_u8_t *p, int32_t fraction) {
    return p->error->scale * p->error_factor * p->x_scale * kg_exp2i(-fraction);
}

void kg_paper_u8_add_row(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                         const int32_t *sums, int32_t fraction) {
    (void)training;
    float *g = (float *)p->g + (size_t)row * (size_t)p->matrix.columns;
    float unit = gradient_unit(p, fraction);
    float sum = 0.0f;
    float square_sum = 0.0f;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        float value = unit * (float)sums[k];
        g[k] += value;
        sum += value;
        square_sum += value * value;
    }
    kg_statistics_add(&p->statistics[row], sum, square_sum, p->matrix.columns);
}

void kg_paper_u8_add_outer(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                           const uint8_t *x, int32_t e, int32_t fraction) {
    (void)training;
    float *g = (float *)p->g + (size_t)row * (size_t)p->matrix.columns;
    float unit = gradient_unit(p, fraction);
    int32_t zero = p->quant->x_zero;
    float sum = 0.0f;
    float square_sum = 0.0f;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        float value = unit * (float)(e * (x[k] - zero));
        g[k] += value;
        sum += value;
        square_sum += value * value;
    }
    kg_statistics_add(&p->statistics[row], sum, square_sum, p->matrix.columns);
}

typedef struct {
    float scale, zero;     // the weights' present format
    float mean, per_unit;  // step = (g - mean) * per_unit
} row_step_t;

static float stepped(row_step_t s, uint8_t w, float g) {
    return ((float)w - s.zero) * s.scale - (g - s.mean) * s.per_unit;
}

// per_unit 0 where the row's statistics are empty: its weights keep their values.
static row_step_t row_step(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row) {
    float deviation = kg_statistics_deviation(&p->statistics[row]);
    return (row_step_t){
        .scale = p->state->w_scale,
        .zero = (float)p->quant->w_zero,
        .mean = p->statistics[row].mean,
        .per_unit = deviation > 0.0f ? training->rate / deviation : 0.0f,
    };
}

static void find_range(const kg_parameter_u8_t *p, const kg_training_t *training, float *low,
                       float *high) {
    const float *g = p->g;
    const uint8_t *w = p->w;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        row_step_t s = row_step(p, training, row);
        for (int32_t k = 0; k < p->matrix.columns; k++) {
            float value = stepped(s, *w++, *g++);
            *low = kg_minf(*low, value);
            *high = kg_maxf(*high, value);
        }
    }
}

static void write_row(const kg_parameter_u8_t *p, row_step_t s, int32_t row, float scale,
                      int32_t zero) {
    float *g = (float *)p->g + (size_t)row * (size_t)p->matrix.columns;
    uint8_t *w = p->w + (size_t)row * (size_t)p->matrix.columns;
    for (int32_t k = 0; k < p->matrix.columns; k++) {
        w[k] = (uint8_t)kg_clamp(zero + kg_round(stepped(s, w[k], g[k]) / scale), 0, 255);
        g[k] = 0.0f;
    }
    float bias = (float)p->b[row] * p->x_scale * s.scale;
    bias -= (float)p->gb[row] * p->error->scale * p->error_factor * s.per_unit;
    bias = bias / (p->x_scale * scale);
    p->b[row] = kg_clamp(kg_round(bias), -KG_BIAS_LIMIT, KG_BIAS_LIMIT);
    p->gb[row] = 0;
}

void kg_step_paper_u8_update(const void *args, kg_training_t *training) {
    const kg_parameter_u8_t *p = args;
    float low = 0.0f;
    float high = 0.0f;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        kg_statistics_follow(&p->statistics[row], training);
    }
    find_range(p, training, &low, &high);
    if (!(high - low >= 0x1p-100f)) {
        return;  // all weights zero: no format to give them
    }
    float scale = (high - low) / 255.0f;
    int32_t zero = kg_clamp(kg_round(-low / scale), 0, 255);
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        write_row(p, row_step(p, training, row), row, scale, zero);
    }
    p->state->w_scale = scale;
    p->quant->w_zero = zero;
}
