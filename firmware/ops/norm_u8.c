// SPDX-License-Identifier: Apache-2.0
// The l1 norm of uint8 errors, plain C.
#include "ops/error.h"
#include "ops/norm.h"

int32_t kg_norm_u8(const uint8_t *e, int32_t count) {
    int32_t sum = 0;
    for (const uint8_t *end = e + count; e < end; e++) {
        int32_t error = *e - KG_ERROR_ZERO;
        sum += error < 0 ? -error : error;
    }
    return sum;
}
