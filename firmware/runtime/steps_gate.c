// SPDX-License-Identifier: Apache-2.0
// Step functions of functions of one number and of channel-wise products.
#include "runtime/steps_gate.h"

void kg_step_activation_u8(const void *args, kg_training_t *training) {
    const kg_activation_u8_t *a = args;
    (void)training;
    kg_activation_u8_forward(a->count, a->x, a->values, a->y);
}

void kg_step_activation_backward_u8(const void *args, kg_training_t *training) {
    const kg_activation_backward_u8_t *a = args;
    (void)training;
    int32_t peak = kg_activation_u8_backward(a->count, a->x, a->e, a->slopes, *a->factor, a->dx);
    kg_error_scale_see(a->dx_scale, (float)peak * (a->unit * kg_error_step(a->e_scale)));
}

void kg_step_activation_f32(const void *args, kg_training_t *training) {
    const kg_activation_f32_t *a = args;
    (void)training;
    a->kernel(a->count, a->x, a->line, a->y);
}

void kg_step_activation_backward_f32(const void *args, kg_training_t *training) {
    const kg_activation_backward_f32_t *a = args;
    (void)training;
    a->kernel(a->count, a->x, a->line, a->e, a->mask, a->dx);
}

void kg_step_mul_u8(const void *args, kg_training_t *training) {
    const kg_mul_u8_t *a = args;
    (void)training;
    kg_mul_u8_forward(a->quant, a->x, a->gate, a->y);
}

void kg_step_mul_gradient_u8(const void *args, kg_training_t *training) {
    const kg_mul_gradient_u8_t *a = args;
    (void)training;
    int32_t peak = a->kernel(a->quant, a->e, a->other, *a->factor, a->mask, a->dx);
    kg_error_scale_see(a->dx_scale, (float)peak * (a->unit * kg_error_step(a->e_scale)));
}

void kg_step_mul_f32(const void *args, kg_training_t *training) {
    const kg_mul_f32_t *a = args;
    (void)training;
    kg_mul_f32_forward(a->channels, a->positions, a->x, a->gate, a->y);
}

void kg_step_mul_gradient_f32(const void *args, kg_training_t *training) {
    const kg_mul_gradient_f32_t *a = args;
    (void)training;
    a->kernel(a->channels, a->positions, a->e, a->other, a->mask, a->dx);
}

void kg_step_factor_refresh_u8(const void *args, kg_training_t *training) {
    const kg_factor_refresh_u8_t *a = args;
    (void)training;
    *a->factor = kg_limited_factor(a->unit * kg_error_step(a->e_scale) / a->dx_scale->scale);
}
