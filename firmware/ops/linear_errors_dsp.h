// SPDX-License-Identifier: Apache-2.0
// What one error after the other adds to the input gradients of four inputs of a linear layer.
//
// Two of the four weights of a word stay in their places under a mask, 24 bits apart: UMLAL adds
// error * weight for both at once, as pairs_dsp.h says. It knows no sign, so errors below zero have
// a list, and a sum, of their own.
#ifndef KG_OPS_LINEAR_ERRORS_DSP_H
#define KG_OPS_LINEAR_ERRORS_DSP_H

#include "kilograd/types.h"
#include "ops/taps_u8.h"

#define KG_LINEAR_OUTER_BYTES 0xff0000ffu

// Magnitudes of errors, each with the start of its row of weights.
typedef struct {
    kg_tap_list_t above, below;  // zero
    int32_t total, weight;       // sums of errors, and of magnitudes: at most KG_PAIR_LIMIT
} kg_linear_errors_t;

// sums[i] = base + sum over the errors of error * w[offset + i], for four inputs.
void kg_linear_errors_dot(const kg_linear_errors_t *errors, const uint8_t *w, int32_t base,
                          int32_t *sums);

#endif
