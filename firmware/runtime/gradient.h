// SPDX-License-Identifier: Apache-2.0
// Adding one sample's weight gradient to the buffer of the minibatch: one function per recipe and
// number format.
//
// `add_row` takes a finished row of sums (convolution); `add_outer` forms the row e x[k] on the way
// (linear), so that no row needs to be stored. Both get rows only whose error is not zero. sums and
// e are in units of 2^-fraction: the errors times the factor of a kept row (ops/kept.h).
#ifndef KG_RUNTIME_GRADIENT_H
#define KG_RUNTIME_GRADIENT_H

#include "runtime/parameter.h"

// x is (columns) with zero point x_zero, e the row's error less 128.
typedef void kg_add_row_u8_fn(const kg_parameter_u8_t *parameter, const kg_training_t *training,
                              int32_t row, const int32_t *sums, int32_t fraction);
typedef void kg_add_outer_u8_fn(const kg_parameter_u8_t *parameter, const kg_training_t *training,
                                int32_t row, const uint8_t *x, int32_t e, int32_t fraction);

// Recipe best: g[k] = saturate(g[k] + floor(sum / 2^(g_shift + fraction) + u)), u the dither:
// stochastic rounding.
kg_add_row_u8_fn kg_best_u8_add_row;
kg_add_outer_u8_fn kg_best_u8_add_outer;
kg_add_row_u8_fn kg_best_u8_add_row_host;
kg_add_outer_u8_fn kg_best_u8_add_outer_host;
kg_add_row_u8_fn kg_best_u8_add_row_dsp;
kg_add_outer_u8_fn kg_best_u8_add_outer_dsp;

// The same with buffers of 8 bits; of 32 bits, whose g_shift is always 0: sums are exact.
kg_add_row_u8_fn kg_best_g8_u8_add_row;
kg_add_outer_u8_fn kg_best_g8_u8_add_outer;
kg_add_row_u8_fn kg_best_g32_u8_add_row;
kg_add_outer_u8_fn kg_best_g32_u8_add_outer;

// Recipe paper: g[k] += s_e s_x sum in float, and the row's statistics.
kg_add_row_u8_fn kg_paper_u8_add_row;
kg_add_outer_u8_fn kg_paper_u8_add_outer;

// Recipes sgd_m and sgd_m_qas: g[k] += s_e s_x sum in float.
kg_add_row_u8_fn kg_sgd_u8_add_row;
kg_add_outer_u8_fn kg_sgd_u8_add_outer;

typedef void kg_add_row_f32_fn(const kg_parameter_f32_t *parameter, int32_t row, const float *sums);
typedef void kg_add_outer_f32_fn(const kg_parameter_f32_t *parameter, int32_t row, const float *x,
                                 float e);

kg_add_row_f32_fn kg_best_f32_add_row;
kg_add_outer_f32_fn kg_best_f32_add_outer;
kg_add_row_f32_fn kg_paper_f32_add_row;
kg_add_outer_f32_fn kg_paper_f32_add_outer;

#endif
