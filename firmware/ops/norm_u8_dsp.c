// SPDX-License-Identifier: Apache-2.0
// The l1 norm of uint8 errors for cores with the DSP extension: four absolute differences at once.
#include "ops/dsp.h"
#include "ops/error.h"
#include "ops/norm.h"

#define FOUR_ZEROS (KG_ERROR_ZERO * 0x01010101u)

int32_t kg_norm_u8_dsp(const uint8_t *e, int32_t count) {
    uint32_t sum = 0;
    const uint8_t *end = e + count;
    for (const uint8_t *blocks = e + (count & ~15); e < blocks; e += 16) {
        sum = kg_add_differences(kg_load_word(e), FOUR_ZEROS, sum);
        sum = kg_add_differences(kg_load_word(e + 4), FOUR_ZEROS, sum);
        sum = kg_add_differences(kg_load_word(e + 8), FOUR_ZEROS, sum);
        sum = kg_add_differences(kg_load_word(e + 12), FOUR_ZEROS, sum);
    }
    for (; e < end; e++) {
        sum = kg_add_differences(*e, KG_ERROR_ZERO, sum);
    }
    return (int32_t)sum;
}
