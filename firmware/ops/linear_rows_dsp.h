// SPDX-License-Identifier: Apache-2.0
// Products of four rows of uint8 weights with one vector of 16-bit inputs.
#ifndef KG_OPS_LINEAR_ROWS_DSP_H
#define KG_OPS_LINEAR_ROWS_DSP_H

#include <stdint.h>

#define KG_LINEAR_STEP 8  // inputs that go together

// Adds sum_k w[j * pitch + k] x[k] to sums[j], j < 4. Of four inputs that follow one another, the
// first and third lie in one word, the second and fourth in the next; their number is a multiple of
// KG_LINEAR_STEP and not 0.
void kg_linear_rows(const uint32_t *x, const uint32_t *x_end, const uint8_t *w, int32_t pitch,
                    int32_t *sums);

#endif
