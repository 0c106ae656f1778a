// SPDX-License-Identifier: Apache-2.0
// Update steps: what happens to a trained layer once per minibatch. args: kg_parameter_u8_t or
// kg_parameter_f32_t.
#ifndef KG_RUNTIME_UPDATE_H
#define KG_RUNTIME_UPDATE_H

#include "runtime/parameter.h"

// Of recipe best, in learning rates: where inputs hardly differ, or the gradients of weights
// saturate, deviations are small beside gb, and a step in units of them could throw a layer off for
// good. A bias whose inputs spread over 1/16 or more never meets it.
#define KG_LARGEST_BIAS_STEP 16.0f

// Recipe best: w -= rate (g - mean) / deviation per row, both of the buffer itself; g keeps 7/8 as
// momentum.
// Gradient buffers of uint8 layers have 16 bits, or 8 (_g8), or 32 (_g32).
void kg_step_best_u8_update(const void *args, kg_training_t *training);
void kg_step_best_g8_u8_update(const void *args, kg_training_t *training);
void kg_step_best_g32_u8_update(const void *args, kg_training_t *training);
void kg_step_best_f32_update(const void *args, kg_training_t *training);

// Recipe best where only biases train: b -= rate gb / rms of the layer's gb; gb keeps 7/8.
void kg_step_best_u8_update_biases(const void *args, kg_training_t *training);
void kg_step_best_f32_update_biases(const void *args, kg_training_t *training);

// Recipe paper (equation 8): running per-row statistics of the samples' gradients, the sum of the
// minibatch's gradients, nearest rounding to a range renewed at every update (equations 5 to 7); g
// is cleared.
void kg_step_paper_u8_update(const void *args, kg_training_t *training);
void kg_step_paper_f32_update(const void *args, kg_training_t *training);

// Recipes for comparison: SGD with momentum 0.9 on quantised weights, without and with
// quantisation-aware scaling (sgd_u8.c has the equations). In float32 both are the same. They serve
// biases alone as well.
void kg_step_sgd_m_u8_update(const void *args, kg_training_t *training);
void kg_step_sgd_m_qas_u8_update(const void *args, kg_training_t *training);
void kg_step_sgd_f32_update(const void *args, kg_training_t *training);

#endif
