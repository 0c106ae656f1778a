// SPDX-License-Identifier: Apache-2.0
// Running per-row statistics of per-sample gradients (recipe paper, equation 8).
#ifndef KG_RUNTIME_STATISTICS_H
#define KG_RUNTIME_STATISTICS_H

#include "runtime/math.h"
#include "runtime/parameter.h"

#define KG_STATISTICS_DECAY 0.9f

// Adds one sample's row: the sums of g and g^2 over its `columns` weights.
static inline void kg_statistics_add(kg_row_statistics_t *s, float sum, float square_sum,
                                     int32_t columns) {
    s->mean_sum += sum / (float)columns;
    s->square_sum += square_sum / (float)columns;
}

// Ends a minibatch: the averages of its samples move the running statistics, or start them.
static inline void kg_statistics_follow(kg_row_statistics_t *s, const kg_training_t *training) {
    float keep = training->updates == 0 ? 0.0f : KG_STATISTICS_DECAY;
    float samples = (float)training->batch;
    s->mean = keep * s->mean + (1.0f - keep) * (s->mean_sum / samples);
    s->square = keep * s->square + (1.0f - keep) * (s->square_sum / samples);
    s->mean_sum = 0.0f;
    s->square_sum = 0.0f;
}

// Standard deviation; 0 where the row has seen no gradient.
static inline float kg_statistics_deviation(const kg_row_statistics_t *s) {
    return kg_sqrtf(s->square - s->mean * s->mean);
}

#endif
