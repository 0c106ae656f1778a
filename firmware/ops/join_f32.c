// SPDX-License-Identifier: Apache-2.0
// Joins float32 errors.
#include "ops/join.h"

// dx = a + b, 0 where mask <= 0; all arrays are (count)
void kg_join_f32(int32_t count, const float *a, const float *b, const float *mask, float *dx) {
    for (int32_t i = 0; i < count; i++) {
        if (mask != NULL && mask[i] <= 0.0f) {
            dx[i] = 0.0f;
        } else {
            dx[i] = b != NULL ? a[i] + b[i] : a[i];
        }
    }
}
