// SPDX-License-Identifier: Apache-2.0
// Runs the functions of runtime/math.h and runtime/dither.h over arrays, for tests from Python.
#include "runtime/dither.h"
#include "runtime/math.h"

#define MAP(name, input, output)                                                                   \
    void map_##name(int32_t count, const input *x, output *y);                                     \
    void map_##name(int32_t count, const input *x, output *y) {                                    \
        for (int32_t i = 0; i < count; i++) {                                                      \
            y[i] = kg_##name(x[i]);                                                                \
        }                                                                                          \
    }

MAP(expf, float, float)
MAP(logf, float, float)
MAP(cos_pi, float, float)
MAP(sqrtf, float, float)
MAP(round, float, int32_t)
MAP(ceil_log2, float, int32_t)
MAP(exp2i, int32_t, float)
MAP(requant_make, float, kg_requant_t)

void map_dither(uint32_t seed, uint32_t stream, uint32_t tick, int32_t count, uint32_t *numbers);
void map_dither(uint32_t seed, uint32_t stream, uint32_t tick, int32_t count, uint32_t *numbers) {
    uint32_t start = kg_dither_start(seed, stream, tick);
    for (int32_t i = 0; i < count; i++) {
        numbers[i] = kg_dither_at(start, (uint32_t)i);
    }
}

void map_dither_bits(int32_t count, const uint32_t *numbers, int32_t bits, int32_t *y);
void map_dither_bits(int32_t count, const uint32_t *numbers, int32_t bits, int32_t *y) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = kg_dither_bits(numbers[i], bits);
    }
}
