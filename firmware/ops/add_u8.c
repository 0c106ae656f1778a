// SPDX-License-Identifier: Apache-2.0
// Residual add in uint8. The bounds on the weights keep every sum inside int32.
#include "ops/add.h"

#include "ops/requant.h"

// y = clamp(z_y + round_half_up(((a - z_a) w_a + (b - z_b) w_b) / 2^shift), y_min, y_max); all
// arrays are (count)
void kg_add_u8_forward(int32_t count, const uint8_t *a, const uint8_t *b,
                       const kg_add_quant_t *quant, uint8_t *y) {
    int32_t half = 1 << (quant->shift - 1);
    for (int32_t i = 0; i < count; i++) {
        int32_t sum =
            (a[i] - quant->a_zero) * quant->a_weight + (b[i] - quant->b_zero) * quant->b_weight;
        y[i] = (uint8_t)kg_clamp(quant->y_zero + ((sum + half) >> quant->shift), quant->y_min,
                                 quant->y_max);
    }
}
