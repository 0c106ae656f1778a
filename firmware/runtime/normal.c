// SPDX-License-Identifier: Apache-2.0
// Box and Muller: a radius sqrt(-2 ln u) in a direction whose cosine is cos(pi t), u and t uniform.
#include "runtime/normal.h"

#include "runtime/dither.h"
#include "runtime/math.h"

// Every number is hashed for itself: the golden-ratio sequence that spreads rounding evenly would
// tie neighbours together.
float kg_normal(uint32_t seed, uint32_t stream, uint32_t tick, uint32_t index) {
    uint32_t start = kg_dither_start(seed, stream, tick);
    uint32_t first = kg_dither_start(start, 2 * index, 0);
    uint32_t second = kg_dither_start(start, 2 * index + 1, 0);
    float u = (float)((first >> 8) + 1) * 0x1p-24f;  // in (0, 1]
    float t = (float)(second >> 8) * 0x1p-24f;       // in [0, 1)
    return kg_sqrtf(-2.0f * kg_logf(u)) * kg_cos_pi(t);
}
