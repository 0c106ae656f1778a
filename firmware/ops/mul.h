// SPDX-License-Identifier: Apache-2.0
// Channel-wise product: every channel of a map times a number of its own, its gate.
//
// x, y are (channels, positions), gate is (channels); tensors of one shape are the case of
// positions == 1.
#ifndef KG_OPS_MUL_H
#define KG_OPS_MUL_H

#include "kilograd/types.h"

typedef struct {
    int32_t channels, positions;
    int32_t x_zero, gate_zero, y_zero;
    kg_requant_t forward;  // s_x s_gate / s_y
} kg_mul_quant_t;

// y[c,i] = clamp(y_zero + rq((x[c,i] - x_zero) (gate[c] - gate_zero), forward), 0, 255)
void kg_mul_u8_forward(const kg_mul_quant_t *quant, const uint8_t *x, const uint8_t *gate,
                       uint8_t *y);

// dx[c,i] = clamp(128 + rq((e[c,i] - 128) (gate[c] - gate_zero), backward), 0, 255), 128 where
// mask[c,i] <= x_zero. mask may be NULL; dx may be e or mask. Returns the largest |product| over
// the elements not masked.
int32_t kg_mul_u8_map_gradient(const kg_mul_quant_t *quant, const uint8_t *e, const uint8_t *gate,
                               kg_requant_t backward, const uint8_t *mask, uint8_t *dx);

// dgate[c] = clamp(128 + rq(sum_i (e[c,i] - 128) (x[c,i] - x_zero), backward), 0, 255), 128 where
// mask[c] <= gate_zero. mask may be NULL, or dgate. Returns the largest |sum| over the elements
// not masked. A sum stays inside int32 up to 65536 positions.
int32_t kg_mul_u8_gate_gradient(const kg_mul_quant_t *quant, const uint8_t *e, const uint8_t *x,
                                kg_requant_t backward, const uint8_t *mask, uint8_t *dgate);

// Float32: y = x gate; dx = e gate, 0 where mask <= 0; dgate = sum e x in the order of positions,
// 0 where mask <= 0. Aliases as above.
void kg_mul_f32_forward(int32_t channels, int32_t positions, const float *x, const float *gate,
                        float *y);
void kg_mul_f32_map_gradient(int32_t channels, int32_t positions, const float *e, const float *gate,
                             const float *mask, float *dx);
void kg_mul_f32_gate_gradient(int32_t channels, int32_t positions, const float *e, const float *x,
                              const float *mask, float *dgate);

#endif
