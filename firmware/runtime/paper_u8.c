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

// per_unit 0 where the row is not due or its statistics are empty: its weights keep their values.
static row_step_t row_step(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row) {
    bool due = kg_row_is_due(p->marks, row);
    float deviation = due ? kg_statistics_deviation(&p->statistics[row]) : 0.0f;
    return (row_step_t){
        .scale = p->state->w_scale,
        .zero = (float)p->quant->w_zero,
        .mean = p->statistics[row].mean,
        .per_unit = deviation > 0.0f ? training->rate / deviation : 0.0f,
    };
}

typedef struct {
    float low, high;
} range_t;

static void widen(range_t *range, float value) {
    range->low = kg_minf(range->low, value);
    range->high = kg_maxf(range->high, value);
}

static range_t range_of_due_rows(const kg_parameter_u8_t *p, const kg_training_t *training) {
    range_t range = {0.0f, 0.0f};
    const float *g = p->g;
    const uint8_t *w = p->w;
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        row_step_t s = row_step(p, training, row);
        for (int32_t k = 0; k < p->matrix.columns && kg_row_is_due(p->marks, row); k++) {
            widen(&range, stepped(s, w[k], g[k]));
        }
        w += p->matrix.columns;
        g += p->matrix.columns;
    }
    return range;
}

// What the present format can hold.
static range_t range_of_format(const kg_parameter_u8_t *p) {
    float zero = (float)p->quant->w_zero;
    return (range_t){(0.0f - zero) * p->state->w_scale, (255.0f - zero) * p->state->w_scale};
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

static void write_due_rows(const kg_parameter_u8_t *p, const kg_training_t *training) {
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        if (kg_row_is_due(p->marks, row)) {
            write_row(p, row_step(p, training, row), row, p->state->w_scale, p->quant->w_zero);
        }
    }
}

static void write_all_rows(const kg_parameter_u8_t *p, const kg_training_t *training,
                           range_t range) {
    float scale = (range.high - range.low) / 255.0f;
    int32_t zero = kg_clamp(kg_round(-range.low / scale), 0, 255);
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        write_row(p, row_step(p, training, row), row, scale, zero);
    }
    p->state->w_scale = scale;
    p->quant->w_zero = zero;
}

// All rows share one format. While some are not due it only grows, and is left alone where it can:
// then their weights are not touched.
static void update(const kg_parameter_u8_t *p, const kg_training_t *training) {
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        if (kg_row_is_due(p->marks, row)) {
            kg_statistics_follow(&p->statistics[row], training);
        }
    }
    range_t range = range_of_due_rows(p, training);
    if (!kg_all_rows_are_due(p->marks, p->matrix.rows)) {
        range_t format = range_of_format(p);
        widen(&range, format.low);
        widen(&range, format.high);
        if (range.low == format.low && range.high == format.high) {
            write_due_rows(p, training);
            return;
        }
    }
    if (range.high - range.low >= 0x1p-100f) {  // else all weights are zero: no format to give them
        write_all_rows(p, training, range);
    }
}

void kg_step_paper_u8_update(const void *args, kg_training_t *training) {
    const kg_parameter_u8_t *p = args;
    update(p, training);
    kg_clear_marks(p->marks, p->matrix.rows);
}
