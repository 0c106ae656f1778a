// SPDX-License-Identifier: Apache-2.0
// Joins uint8 errors of different scales. The bounds on the weights keep every sum inside int32.
#include "ops/join.h"

#include "ops/error.h"

// dx = clamp(128 + round_half_up(((a - 128) w_a + (b - 128) w_b) / 2^shift), 0, 255); all arrays
// are (count)
int32_t kg_join_u8(int32_t count, const uint8_t *a, const uint8_t *b, const kg_add_quant_t *quant,
                   const uint8_t *mask, int32_t mask_zero, uint8_t *dx) {
    int32_t half = 1 << (quant->shift - 1);
    int32_t largest = 0;
    for (int32_t i = 0; i < count; i++) {
        if (mask != NULL && mask[i] <= mask_zero) {
            dx[i] = KG_ERROR_ZERO;
            continue;
        }
        int32_t sum = (a[i] - KG_ERROR_ZERO) * quant->a_weight;
        if (b != NULL) {
            sum += (b[i] - KG_ERROR_ZERO) * quant->b_weight;
        }
        largest = kg_largest(largest, sum);
        dx[i] = (uint8_t)kg_clamp(KG_ERROR_ZERO + ((sum + half) >> quant->shift), 0, 255);
    }
    return largest;
}
