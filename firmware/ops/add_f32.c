// SPDX-License-Identifier: Apache-2.0
// Residual add in float32.
#include "ops/add.h"

#include "ops/clamp.h"

// y = clamp(a + b, y_min, y_max); all arrays are (count)
void kg_add_f32_forward(int32_t count, const float *a, const float *b, float y_min, float y_max,
                        float *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = kg_clampf(a[i] + b[i], y_min, y_max);
    }
}
