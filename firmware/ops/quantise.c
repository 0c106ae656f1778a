// SPDX-License-Identifier: Apache-2.0
// Changes of number format between float32 and uint8.
#include "ops/quantise.h"

#include "ops/requant.h"

// Beyond this many quanta every zero point saturates.
#define LIMIT 256.0f

static int32_t round_half_away(float value) {
    int32_t whole = (int32_t)value;
    float rest = value - (float)whole;
    return rest >= 0.5f ? whole + 1 : rest <= -0.5f ? whole - 1 : whole;
}

void kg_quantise(int32_t count, const float *x, float scale, int32_t zero, uint8_t *y) {
    for (int32_t i = 0; i < count; i++) {
        float quanta = x[i] / scale;
        quanta = quanta < LIMIT ? quanta : quanta >= LIMIT ? LIMIT : -LIMIT;
        quanta = quanta > -LIMIT ? quanta : -LIMIT;
        y[i] = (uint8_t)kg_clamp(zero + round_half_away(quanta), 0, 255);
    }
}

void kg_dequantise(int32_t count, const uint8_t *x, float scale, int32_t zero, float *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = (float)(x[i] - zero) * scale;
    }
}
