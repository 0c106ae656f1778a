// SPDX-License-Identifier: Apache-2.0
// Step functions of uint8 layers whose kernels have a variant for the host.
#include "runtime/steps_u8.h"

void kg_step_max_pool_u8_host(const void *args, kg_training_t *training) {
    const kg_max_pool_u8_t *a = args;
    (void)training;
    kg_max_pool_u8_forward_host(a->dims, a->x, a->y, a->argmax);
}

void kg_step_max_pool_backward_u8_host(const void *args, kg_training_t *training) {
    (void)training;
    kg_max_pool_backward_kept(args, kg_max_pool_u8_backward_host);
}
