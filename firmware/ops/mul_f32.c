// SPDX-License-Identifier: Apache-2.0
// Channel-wise product in float32.
#include "ops/mul.h"

#include <stdbool.h>

// y[c,i] = x[c,i] gate[c]
void kg_mul_f32_forward(int32_t channels, int32_t positions, const float *x, const float *gate,
                        float *y) {
    for (int32_t c = 0; c < channels; c++) {
        float factor = gate[c];
        for (int32_t i = 0; i < positions; i++) {
            *y++ = *x++ * factor;
        }
    }
}

// dx[c,i] = e[c,i] gate[c], 0 where mask[c,i] <= 0
void kg_mul_f32_map_gradient(int32_t channels, int32_t positions, const float *e, const float *gate,
                             const float *mask, float *dx) {
    int32_t at = 0;
    for (int32_t c = 0; c < channels; c++) {
        float factor = gate[c];
        for (int32_t i = 0; i < positions; i++, at++) {
            bool masked = mask != NULL && mask[at] <= 0.0f;
            dx[at] = masked ? 0.0f : e[at] * factor;
        }
    }
}

// dgate[c] = sum_i e[c,i] x[c,i], 0 where mask[c] <= 0
void kg_mul_f32_gate_gradient(int32_t channels, int32_t positions, const float *e, const float *x,
                              const float *mask, float *dgate) {
    for (int32_t c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int32_t i = 0; i < positions; i++) {
            sum += *e++ * *x++;
        }
        bool masked = mask != NULL && mask[c] <= 0.0f;
        dgate[c] = masked ? 0.0f : sum;
    }
}
