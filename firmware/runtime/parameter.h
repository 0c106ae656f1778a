// SPDX-License-Identifier: Apache-2.0
// A trained layer's parameters: weights, biases, gradient buffers, and what a recipe keeps beside
// them.
#ifndef KG_RUNTIME_PARAMETER_H
#define KG_RUNTIME_PARAMETER_H

#include "ops/dims.h"
#include "runtime/error_scale.h"

#include <stdbool.h>

// Biases stay inside +-2^30, so that a bias and the sums of a layer cannot leave 32 bits together.
#define KG_BIAS_LIMIT (1 << 30)

// Subtracts a step; a bias that runs away stops at its limit.
static inline void kg_bias_step(int32_t *b, int32_t step) {
    int64_t value = (int64_t)*b - step;
    value = value > KG_BIAS_LIMIT ? KG_BIAS_LIMIT : value;
    *b = (int32_t)(value < -KG_BIAS_LIMIT ? -KG_BIAS_LIMIT : value);
}

// One row is one output channel (a structure), one column one weight of its fan-in.
typedef struct {
    int32_t rows, columns;
    uint32_t stream;  // of the dither, different for every layer
} kg_matrix_t;

// Sparse layers mark the rows that have had a gradient since the last update: others are not
// updated, and keep weights, gradients and statistics as they are. marks NULL: a dense layer, every
// row is.
static inline bool kg_row_is_due(const uint8_t *marks, int32_t row) {
    return marks == NULL || marks[row] != 0;
}

static inline void kg_mark_row(uint8_t *marks, int32_t row) {
    if (marks != NULL) {
        marks[row] = 1;
    }
}

static inline bool kg_all_rows_are_due(const uint8_t *marks, int32_t rows) {
    bool all = true;
    for (int32_t row = 0; marks != NULL && row < rows; row++) {
        all &= marks[row] != 0;
    }
    return all;
}

// Ends the minibatch.
static inline void kg_clear_marks(uint8_t *marks, int32_t rows) {
    for (int32_t row = 0; marks != NULL && row < rows; row++) {
        marks[row] = 0;
    }
}

// Mutable scalars of a uint8 layer. real weight = w_scale * (w - quant->w_zero).
typedef struct {
    float w_scale;
    int32_t g_shift;     // unit of g: s_e s_x 2^g_shift
    int32_t e_exponent;  // the error scale that g_shift goes with
} kg_parameter_u8_state_t;

// Recipe "paper": running statistics of one row's per-sample gradients.
typedef struct {
    float mean, square;          // exponential moving averages: E[g], E[g^2] over the row's weights
    float mean_sum, square_sum;  // of this minibatch's samples
} kg_row_statistics_t;

typedef struct {
    kg_matrix_t matrix;
    uint8_t *w;                       // (rows, columns); NULL, as g, where only biases train
    int32_t *b;                       // (rows), unit s_w s_x
    void *g;                          // (rows, columns): int8_t, int16_t, int32_t (best) or float
    int32_t *gb;                      // (rows): sum of (e - 128)
    kg_row_statistics_t *statistics;  // (rows), recipe paper only
    float *bias_momentum;             // (rows), recipes sgd_m and sgd_m_qas only
    uint8_t *marks;                   // (rows), sparse layers only
    kg_parameter_u8_state_t *state;
    kg_conv_quant_t *quant;
    const kg_error_scale_t *error;  // of the layer's output
    float error_factor;  // this tensor's share of that scale (1 / n under an average pool)
    float x_scale;
} kg_parameter_u8_t;

typedef struct {
    kg_matrix_t matrix;
    float *w, *b;                     // (rows, columns), (rows); w and g may be NULL as above
    float *g, *gb;                    // the same shapes
    kg_row_statistics_t *statistics;  // (rows), recipe paper only
    uint8_t *marks;                   // (rows), sparse layers only
} kg_parameter_f32_t;

#endif
