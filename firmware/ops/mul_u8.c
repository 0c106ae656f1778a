// SPDX-License-Identifier: Apache-2.0
// Channel-wise product in uint8.
#include "ops/mul.h"

#include "ops/error.h"

// y[c,i] = clamp(z_y + rq((x[c,i] - z_x) (gate[c] - z_gate)), 0, 255)
void kg_mul_u8_forward(const kg_mul_quant_t *quant, const uint8_t *x, const uint8_t *gate,
                       uint8_t *y) {
    for (int32_t c = 0; c < quant->channels; c++) {
        int32_t factor = gate[c] - quant->gate_zero;
        for (int32_t i = 0; i < quant->positions; i++) {
            int32_t product = (*x++ - quant->x_zero) * factor;
            *y++ = (uint8_t)kg_clamp(quant->y_zero + kg_requant(product, quant->forward), 0, 255);
        }
    }
}

// dx[c,i] = clamp(128 + rq((e[c,i] - 128) (gate[c] - z_gate)), 0, 255), 128 where
// mask[c,i] <= z_x
int32_t kg_mul_u8_map_gradient(const kg_mul_quant_t *quant, const uint8_t *e, const uint8_t *gate,
                               kg_requant_t backward, const uint8_t *mask, uint8_t *dx) {
    int32_t largest = 0;
    int32_t at = 0;
    for (int32_t c = 0; c < quant->channels; c++) {
        int32_t factor = gate[c] - quant->gate_zero;
        for (int32_t i = 0; i < quant->positions; i++, at++) {
            if (mask != NULL && mask[at] <= quant->x_zero) {
                dx[at] = KG_ERROR_ZERO;
                continue;
            }
            int32_t product = (e[at] - KG_ERROR_ZERO) * factor;
            largest = kg_largest(largest, product);
            dx[at] = kg_error(product, backward);
        }
    }
    return largest;
}

// dgate[c] = clamp(128 + rq(sum_i (e[c,i] - 128) (x[c,i] - z_x)), 0, 255), 128 where
// mask[c] <= z_gate
int32_t kg_mul_u8_gate_gradient(const kg_mul_quant_t *quant, const uint8_t *e, const uint8_t *x,
                                kg_requant_t backward, const uint8_t *mask, uint8_t *dgate) {
    int32_t largest = 0;
    for (int32_t c = 0; c < quant->channels; c++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < quant->positions; i++) {
            sum += (*e++ - KG_ERROR_ZERO) * (*x++ - quant->x_zero);
        }
        if (mask != NULL && mask[c] <= quant->gate_zero) {
            dgate[c] = KG_ERROR_ZERO;
            continue;
        }
        largest = kg_largest(largest, sum);
        dgate[c] = kg_error(sum, backward);
    }
    return largest;
}
