// SPDX-License-Identifier: Apache-2.0
// Recipe "best" for uint8 layers: integer gradients that keep momentum, standardised steps,
// stochastic rounding. One text for gradient buffers of 8, 16 and 32 bits: a file that includes it
// says what differs.
//
//   gradient_t, wide_t   an element of the buffer, and a type that holds eight times its limit
//   sum_t                a type that holds the sum of a row
//   GRADIENT_LIMIT       g stays below or at it; two of them fit 32 bits
//   GRADIENT_LEAST       g stays above or at it: what the element can hold, or -GRADIENT_LIMIT
//   LARGEST_SHIFT        of the unit s_e s_x 2^g_shift; 0: the unit never moves, sums are exact
//   LARGEST_LEFT         more would push every bit out of the buffer
//   NAME(verb)           name of a function that other files see
#ifndef KG_RUNTIME_BEST_U8_TEMPLATE_H
#define KG_RUNTIME_BEST_U8_TEMPLATE_H

#include "ops/requant.h"
#include "runtime/dither.h"
#include "runtime/gradient.h"
#include "runtime/math.h"
#include "runtime/update.h"

#define MOMENTUM_SHIFT 3  // g keeps 7/8 of itself after an update: heavy-ball momentum at no memory
#define CLIP_RMS 4.0f     // weights beyond 4 rms saturate
#define RANGE_GROWTH 1.1f  // a saturated side grows by 10 %
#define RANGE_SLACK 1.02f  // ... if that moves it by more than 2 %
#define RANGE_USED 0.85f   // shrink when less of the range is used
#define RANGE_MARGIN 1.03f
#define GRADIENT_HEADROOM 3  // halves: 3/2 of the largest |g| must fit the buffer
#define SAMPLE_STREAM 0u     // purposes of the dither, added to the layer's stream
#define UPDATE_STREAM 0x10000u
#define RESCALE_STREAM 0x20000u
#define REQUANTISE_STREAM 0x20001u

typedef struct {
    int32_t peak;  // largest |g|
    int32_t mean;
    float deviation;
} row_moments_t;

// What the update learns about all weights of a layer, for the range policy.
typedef struct {
    int32_t rows;
    int32_t lowest, highest;  // of the stored weights
    int32_t below, above;     // whether a step has left 0..255
    int32_t gradient_peak;
    int64_t squares;  // sum (w - z_w)^2
} layer_survey_t;

static gradient_t saturate(wide_t value) {
    value = value > GRADIENT_LIMIT ? GRADIENT_LIMIT : value;
    return (gradient_t)(value < GRADIENT_LEAST ? GRADIENT_LEAST : value);
}

static uint32_t row_dither(const kg_parameter_u8_t *p, const kg_training_t *training,
                           uint32_t purpose, uint32_t tick, int32_t row) {
    uint32_t start = kg_dither_start(training->seed, p->matrix.stream + purpose, tick);
    return kg_dither_at(start, (uint32_t)(row * p->matrix.columns));
}

void NAME(add_row)(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                   const int32_t *sums, int32_t fraction) {
    gradient_t *g = (gradient_t *)p->g + (size_t)row * (size_t)p->matrix.columns;
    int32_t shift = p->state->g_shift + fraction;
    uint32_t u = row_dither(p, training, SAMPLE_STREAM, training->samples, row);
    for (const gradient_t *end = g + p->matrix.columns; g < end; g++) {
        *g = saturate((wide_t)*g + ((*sums++ + kg_dither_bits(u, shift)) >> shift));
        u += KG_DITHER_STEP;
    }
}

void NAME(add_outer)(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                     const uint8_t *x, int32_t e, int32_t fraction) {
    gradient_t *g = (gradient_t *)p->g + (size_t)row * (size_t)p->matrix.columns;
    int32_t shift = p->state->g_shift + fraction;
    int32_t zero = p->quant->x_zero;
    uint32_t u = row_dither(p, training, SAMPLE_STREAM, training->samples, row);
    for (const gradient_t *end = g + p->matrix.columns; g < end; g++) {
        *g = saturate((wide_t)*g + ((e * (*x++ - zero) + kg_dither_bits(u, shift)) >> shift));
        u += KG_DITHER_STEP;
    }
}

// Shifts every g by `by` bits: right with stochastic rounding, left saturating.
static void shift_gradients(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t by) {
    gradient_t *g = p->g;
    uint32_t u = row_dither(p, training, RESCALE_STREAM, training->updates, 0);
    if (by == 0) {
        return;
    }
    by = kg_clamp(by, -LARGEST_LEFT, 30);
    const gradient_t *end = g + p->matrix.rows * p->matrix.columns;
    for (; by > 0 && g < end; g++, u += KG_DITHER_STEP) {
        *g = (gradient_t)((*g + kg_dither_bits(u, by)) >> by);
    }
    for (; by < 0 && g < end; g++) {
        *g = saturate((wide_t)*g * (1 << -by));
    }
}

// The scale of the errors has moved from 2^e_exponent: the unit of g stays by moving g_shift the
// other way; gb moves.
static void follow_error_exponent(const kg_parameter_u8_t *p, const kg_training_t *training) {
    int32_t change = p->error->exponent - p->state->e_exponent;
    if (change == 0) {
        return;
    }
    p->state->e_exponent = p->error->exponent;
    int32_t unit = p->state->g_shift - change;
    p->state->g_shift = kg_clamp(unit, 0, LARGEST_SHIFT);
    shift_gradients(p, training, p->state->g_shift - unit);
    kg_requant_t factor = kg_requant_make(kg_exp2i(-change));
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        p->gb[row] = kg_requant(p->gb[row], factor);
    }
}

// How far g - mean is shifted right, so that its square fits 30 bits.
static int32_t block_shift(int32_t peak) {
    int32_t shift = 0;
    while ((peak >> shift) > INT16_MAX / 2) {
        shift++;
    }
    return shift;
}

static row_moments_t moments_of(const gradient_t *g, int32_t count) {
    row_moments_t m = {0, 0, 0.0f};
    const gradient_t *end = g + count;
    sum_t sum = 0;
    int32_t lowest = 0;
    int32_t highest = 0;
    for (const gradient_t *at = g; at < end; at++) {
        int32_t value = *at;
        lowest = value < lowest ? value : lowest;
        highest = value > highest ? value : highest;
        sum += value;
    }
    m.peak = highest > -lowest ? highest : -lowest;
    if (m.peak == 0) {
        return m;
    }
    m.mean = (int32_t)(sum / count);
    int32_t block = block_shift(m.peak);
    uint64_t squares = 0;
    for (; g < end; g++) {
        int32_t d = (*g - m.mean) >> block;
        squares += (uint32_t)(d * d);
    }
    m.deviation = kg_sqrtf((float)squares / (float)count) * (float)(1 << block);
    return m;
}

// The weights of one row, before they are clamped; 32 bits hold the squares of 65 000.
typedef struct {
    int32_t lowest, highest;
    uint32_t squares;
} row_survey_t;

#define EMPTY_ROW ((row_survey_t){255, 0, 0})

static inline void survey_range(row_survey_t *survey, int32_t q) {
    survey->lowest = q < survey->lowest ? q : survey->lowest;
    survey->highest = q > survey->highest ? q : survey->highest;
}

static void survey_add(layer_survey_t *survey, row_survey_t row) {
    int32_t lowest = kg_clamp(row.lowest, 0, 255);
    int32_t highest = kg_clamp(row.highest, 0, 255);
    survey->below |= row.lowest < 0;
    survey->above |= row.highest > 255;
    survey->lowest = lowest < survey->lowest ? lowest : survey->lowest;
    survey->highest = highest > survey->highest ? highest : survey->highest;
    survey->squares += row.squares;
    survey->rows++;
}

// w -= floor(step + u), step in 1/65536 of a weight quantum: a 15-bit multiplier times a 16-bit
// gradient, so that a core without a long multiply pays one 32-bit product. per_unit: quanta per
// unit of g.
static void step_weights(const kg_parameter_u8_t *p, row_moments_t m, float per_unit, int32_t row,
                         uint32_t u, layer_survey_t *survey) {
    const gradient_t *g = (const gradient_t *)p->g + (size_t)row * (size_t)p->matrix.columns;
    uint8_t *w = p->w + (size_t)row * (size_t)p->matrix.columns;
    int32_t block = block_shift(m.peak);
    float limit = 0x1p+30f / (float)(2 * m.peak + 1);  // no step can leave 32 bits
    kg_requant_t factor =
        kg_requant_make(kg_minf(per_unit * 65536.0f, limit) * (float)(1 << block));
    int32_t multiplier = factor.multiplier >> 16;
    int32_t shift = factor.shift - 16;
    int32_t up = shift < 0 ? -shift : 0;
    int32_t down = shift < 0 ? 0 : shift > 31 ? 31 : shift;
    int32_t zero = p->quant->w_zero;
    row_survey_t seen = EMPTY_ROW;
    multiplier *= 1 << up;
    for (const uint8_t *end = w + p->matrix.columns; w < end; g++, w++) {
        int32_t step = (((*g - m.mean) >> block) * multiplier) >> down;
        int32_t q = *w - ((step + (int32_t)(u >> 16)) >> 16);
        survey_range(&seen, q);
        q = kg_clamp(q, 0, 255);
        seen.squares += (uint32_t)((q - zero) * (q - zero));
        *w = (uint8_t)q;
        u += KG_DITHER_STEP;
    }
    survey_add(survey, seen);
}

static void decay_gradients(const kg_parameter_u8_t *p, int32_t row, uint32_t u) {
    gradient_t *g = (gradient_t *)p->g + (size_t)row * (size_t)p->matrix.columns;
    for (const gradient_t *end = g + p->matrix.columns; g < end; g++) {
        int32_t dither = (int32_t)(u >> 13) & ((1 << MOMENTUM_SHIFT) - 1);
        wide_t kept = (wide_t)*g * ((1 << MOMENTUM_SHIFT) - 1) + dither;
        *g = (gradient_t)(kept >> MOMENTUM_SHIFT);
        u += KG_DITHER_STEP;
    }
    p->gb[row] -= p->gb[row] >> MOMENTUM_SHIFT;
}

static void survey_row(const kg_parameter_u8_t *p, int32_t row, layer_survey_t *survey) {
    const uint8_t *w = p->w + (size_t)row * (size_t)p->matrix.columns;
    int32_t zero = p->quant->w_zero;
    row_survey_t seen = EMPTY_ROW;
    for (const uint8_t *end = w + p->matrix.columns; w < end; w++) {
        int32_t q = *w;
        survey_range(&seen, q);
        seen.squares += (uint32_t)((q - zero) * (q - zero));
    }
    survey_add(survey, seen);
}

// A row without gradients, or with equal ones, is left as it is: no step, no drift.
static void update_row(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                       layer_survey_t *survey) {
    const gradient_t *g = (const gradient_t *)p->g + (size_t)row * (size_t)p->matrix.columns;
    uint32_t u = row_dither(p, training, UPDATE_STREAM, training->updates, row);
    row_moments_t m = moments_of(g, p->matrix.columns);
    survey->gradient_peak = m.peak > survey->gradient_peak ? m.peak : survey->gradient_peak;
    if (m.deviation > 0.0f) {
        float per_unit = training->rate / (m.deviation * p->state->w_scale);
        step_weights(p, m, per_unit, row, u, survey);
        float unit = p->x_scale * p->x_scale * kg_exp2i(p->state->g_shift);
        float most = KG_LARGEST_BIAS_STEP * training->rate / (p->state->w_scale * p->x_scale);
        float step = (float)p->gb[row] * per_unit / unit;
        kg_bias_step(&p->b[row], kg_round(kg_maxf(-most, kg_minf(step, most))));
    } else {
        survey_row(p, row, survey);
    }
    decay_gradients(p, row, u);
}

// Moves the unit of g so that 3/2 of its largest value fits the buffer, and no bit is wasted.
static void rescale_gradients(const kg_parameter_u8_t *p, const kg_training_t *training,
                              int32_t peak) {
    int32_t by = 0;
    if (LARGEST_SHIFT == 0 || peak == 0) {
        return;
    }
    int32_t need = peak * GRADIENT_HEADROOM / 2;
    while ((need >> by) > GRADIENT_LIMIT) {
        by++;
    }
    while (by <= 0 && p->state->g_shift + by > 0 && need * (2 << -by) < GRADIENT_LIMIT) {
        by--;
    }
    if (by == 0 || p->state->g_shift + by > LARGEST_SHIFT) {
        return;
    }
    shift_gradients(p, training, by);
    p->state->g_shift += by;
}

// Rewrites all weights and biases for the real range [low, high].
static void requantise_weights(const kg_parameter_u8_t *p, const kg_training_t *training, float low,
                               float high) {
    float old_scale = p->state->w_scale;
    float scale = (high - low) / 255.0f;
    int32_t zero = kg_clamp(kg_round(-low / scale), 0, 255);
    kg_requant_t factor = kg_requant_make(old_scale / scale * 65536.0f);
    uint32_t u = row_dither(p, training, REQUANTISE_STREAM, training->updates, 0);
    int32_t old_zero = p->quant->w_zero;
    uint8_t *w = p->w;
    for (const uint8_t *end = w + p->matrix.rows * p->matrix.columns; w < end; w++) {
        int32_t value = kg_requant(*w - old_zero, factor);
        *w = (uint8_t)kg_clamp(zero + ((value + (int32_t)(u >> 16)) >> 16), 0, 255);
        u += KG_DITHER_STEP;
    }
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        int32_t bias = kg_round((float)p->b[row] * (old_scale / scale));
        p->b[row] = kg_clamp(bias, -KG_BIAS_LIMIT, KG_BIAS_LIMIT);
    }
    p->state->w_scale = scale;
    p->quant->w_zero = zero;
}

typedef struct {
    float low, high;
} range_t;

// The range follows min(max |w|, 4 rms), and moves only when it is clearly off. All in quanta.
// Returns whether it moves, and where to.
static bool wants_range(const kg_parameter_u8_t *p, const layer_survey_t *survey, range_t *range) {
    int32_t zero = p->quant->w_zero;
    float clip =
        CLIP_RMS * kg_sqrtf((float)survey->squares / (float)(survey->rows * p->matrix.columns));
    float grid_low = (float)-zero;
    float grid_high = (float)(255 - zero);
    float low = survey->below ? RANGE_GROWTH * grid_low : (float)(survey->lowest - zero);
    float high = survey->above ? RANGE_GROWTH * grid_high : (float)(survey->highest - zero);
    low = kg_maxf(low, -clip);
    high = kg_minf(high, clip);
    int grows = (survey->below && low < RANGE_SLACK * grid_low) ||
                (survey->above && high > RANGE_SLACK * grid_high);
    *range = (range_t){low, high};
    return grows || !(high - low >= RANGE_USED * 255.0f);
}

// Rows that were not due are looked at only where the others ask for another range.
static void adjust_range(const kg_parameter_u8_t *p, const kg_training_t *training,
                         layer_survey_t *survey) {
    range_t range;
    if (survey->rows == 0 || !wants_range(p, survey, &range)) {
        return;
    }
    if (survey->rows < p->matrix.rows) {
        for (int32_t row = 0; row < p->matrix.rows; row++) {
            if (!kg_row_is_due(p->marks, row)) {
                survey_row(p, row, survey);
            }
        }
        if (!wants_range(p, survey, &range)) {
            return;
        }
    }
    float margin = RANGE_MARGIN * p->state->w_scale;
    float low = kg_minf(margin * range.low, 0.0f);
    float high = kg_maxf(margin * range.high, 0.0f);
    if (high - low >= 0x1p-100f) {  // all weights zero: nothing to spread
        requantise_weights(p, training, low, high);
    }
}

void STEP(update)(const void *args, kg_training_t *training) {
    const kg_parameter_u8_t *p = args;
    layer_survey_t survey = {.lowest = 255};
    follow_error_exponent(p, training);
    for (int32_t row = 0; row < p->matrix.rows; row++) {
        if (kg_row_is_due(p->marks, row)) {
            update_row(p, training, row, &survey);
        }
    }
    rescale_gradients(p, training, survey.gradient_peak);
    adjust_range(p, training, &survey);
    kg_clear_marks(p->marks, p->matrix.rows);
}

#endif
