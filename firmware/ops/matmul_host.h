// SPDX-License-Identifier: Apache-2.0
// The inner loop of the host's convolutions: a matrix product whose right side lies in shifted maps.
//
// Every sum starts at +0.0f and adds one tap after the other, so float32 layers get the bits of the
// plain kernels. uint8 layers use it too: while fewer than 2^24, whole numbers in float are exact.
#ifndef KG_OPS_MATMUL_HOST_H
#define KG_OPS_MATMUL_HOST_H

#include <stdint.h>

#define KG_TILE_ROWS 4
#define KG_TILE_LANES 24

// Eight floats at any address; compilers split it where registers are smaller.
typedef float kg_vector_t __attribute__((vector_size(32), aligned(4), may_alias));

static inline int32_t kg_round_up(int32_t value, int32_t step) {
    return (value + step - 1) / step * step;
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

#endif
