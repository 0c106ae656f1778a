// SPDX-License-Identifier: Apache-2.0
// Dynamic sparse gradient updates: which structures (rows) of a layer learn from one sample.
//
// The number of rows follows the sample's loss (equation 9), the choice follows the l1 norms of
// their errors. All that comes after works on the list of kept rows (ops/kept.h); the errors stay
// as they are, other layers may share them.
#ifndef KG_RUNTIME_SELECT_H
#define KG_RUNTIME_SELECT_H

#include "kilograd/model.h"
#include "ops/kept.h"
#include "ops/norm.h"

// Chooses about `keep` of the rows with a norm above 0; 1 <= keep <= rows, u is a random number.
// The sum of the norms stays below 2^28.
typedef void kg_select_fn(const int32_t *norms, int32_t rows, int32_t keep, uint32_t u,
                          kg_kept_t *kept);

// Keeps row j with the probability p = 8 / factor, as near as a whole factor from 8 to 256 comes to
// min(1, c norms[j]) with sum p = keep. What a kept row does counts 1 / p times: no row's expected
// update changes.
kg_select_fn kg_select_proportional;

// Keeps the rows with the largest norms, with factor 1; of equal ones the first.
kg_select_fn kg_select_top_k;

typedef struct {
    int32_t rows, positions;
    uint32_t stream;  // of the dither, the layer's
    float lambda_min, lambda_max;
    kg_select_fn *choose;
    int32_t *norms;  // (rows), scratch
    kg_kept_t *kept;
    kg_kept_tally_t *tally;
} kg_select_t;

// Backward step, after the layer's error is whole and masked: fills the list.
typedef struct {
    kg_select_t how;
    const uint8_t *e;  // (rows, positions)
    kg_norm_u8_fn *norm;
} kg_select_u8_t;
void kg_step_select_u8(const void *args, kg_training_t *training);

typedef struct {
    kg_select_t how;
    const float *e;  // (rows, positions)
    float *sums;     // (rows), scratch
} kg_select_f32_t;
void kg_step_select_f32(const void *args, kg_training_t *training);

#endif
