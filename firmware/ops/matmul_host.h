// SPDX-License-Identifier: Apache-2.0
// The inner loops of the host's kernels, in vectors of eight floats.
//
// Every sum starts at +0.0f and adds one product after the other, so float32 layers get the bits of
// the plain kernels. uint8 layers use them too: whole numbers below 2^24 are exact in float.
#ifndef KG_OPS_MATMUL_HOST_H
#define KG_OPS_MATMUL_HOST_H

#include <stdint.h>

#define KG_TILE_ROWS 4
#define KG_TILE_LANES 24

// So many products of uint8 numbers less their zero points stay below 2^24.
#define KG_EXACT_PRODUCTS 256  // of a weight and an activation: at most 255 * 255
#define KG_EXACT_ERRORS 512    // of an error and one of these: at most 128 * 255

// Eight floats at any address; compilers split it where registers are smaller.
typedef float kg_vector_t __attribute__((vector_size(32), aligned(4), may_alias));
#define KG_VECTOR_LANES 8

static inline int32_t kg_round_up(int32_t value, int32_t step) {
    return (value + step - 1) / step * step;
}

static inline void kg_to_float(const uint8_t *from, int32_t count, int32_t zero, float *to) {
    for (int32_t i = 0; i < count; i++) {
        to[i] = (float)(from[i] - zero);
    }
}

// sums[m][p] = sum_k a[k][m] b[offsets[k] + p], m < KG_TILE_ROWS, p < KG_TILE_LANES
static inline void kg_tile(const float *a, const float *b, const int32_t *offsets, int32_t taps,
                           float sums[KG_TILE_ROWS][KG_TILE_LANES]) {
    kg_vector_t s0[3] = {0}, s1[3] = {0}, s2[3] = {0}, s3[3] = {0};
    for (int32_t k = 0; k < taps; k++, a += KG_TILE_ROWS) {
        const kg_vector_t *from = (const kg_vector_t *)(b + offsets[k]);
        for (int32_t j = 0; j < 3; j++) {
            s0[j] += a[0] * from[j];
            s1[j] += a[1] * from[j];
            s2[j] += a[2] * from[j];
            s3[j] += a[3] * from[j];
        }
    }
    for (int32_t j = 0; j < 3; j++) {
        ((kg_vector_t *)sums[0])[j] = s0[j];
        ((kg_vector_t *)sums[1])[j] = s1[j];
        ((kg_vector_t *)sums[2])[j] = s2[j];
        ((kg_vector_t *)sums[3])[j] = s3[j];
    }
}

// A factor, and where the vectors start that it multiplies, relative to a base.
typedef struct {
    int32_t offset;
    float value;
} kg_factor_t;

// sums[j][p] = sum_k factors[k].value bases[j][factors[k].offset + p] for `vectors` vectors of
// lanes; vectors is a constant, at most 6.
static inline void kg_combine(const kg_factor_t *factors, int32_t count, const float *const *bases,
                              int32_t vectors, float *sums) {
    kg_vector_t s[6] = {0};
    for (int32_t k = 0; k < count; k++) {
        for (int32_t j = 0; j < vectors; j++) {
            s[j] += factors[k].value * *(const kg_vector_t *)(bases[j] + factors[k].offset);
        }
    }
    for (int32_t j = 0; j < vectors; j++) {
        ((kg_vector_t *)sums)[j] = s[j];
    }
}

#endif
