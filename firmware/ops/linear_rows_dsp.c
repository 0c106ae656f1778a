// SPDX-License-Identifier: Apache-2.0
// The inner loop of linear_rows_dsp.h: four sums, two words of inputs, four pointers to weights,
// and two registers in which their bytes become halves.
#include "ops/linear_rows_dsp.h"

#include "ops/dsp.h"

#ifdef __ARM_FEATURE_DSP

#define UNUSED __attribute__((unused))

// Four weights of the row at `w` into `sum`.
#define ROW(w, sum)                                                                                \
    "ldr r12, [" w "], #4\n\t"                                                                     \
    "uxtb16 lr, r12\n\t"                                                                           \
    "uxtb16 r12, r12, ror #8\n\t"                                                                  \
    "smlad " sum ", lr, r10, " sum "\n\t"                                                          \
    "smlad " sum ", r12, r11, " sum "\n\t"

#define FOUR_INPUTS                                                                                \
    "ldrd r10, r11, [r0], #8\n\t" ROW("r2", "r6") ROW("r3", "r7") ROW("r4", "r8") ROW("r5", "r9")

__attribute__((naked)) void kg_linear_rows(const uint32_t *x UNUSED, const uint32_t *x_end UNUSED,
                                           const uint8_t *w UNUSED, int32_t pitch UNUSED,
                                           int32_t *sums UNUSED) {
    __asm__("push {r4-r11, lr}\n\t"
            "ldr r12, [sp, #36]\n\t"
            "ldm r12, {r6-r9}\n\t"
            "add r4, r2, r3, lsl #1\n\t"
            "add r5, r4, r3\n\t"
            "add r3, r2, r3\n\t"
            "1:\n\t"                 //
            FOUR_INPUTS FOUR_INPUTS  //
            "cmp r0, r1\n\t"
            "bne 1b\n\t"
            "ldr r12, [sp, #36]\n\t"
            "stm r12, {r6-r9}\n\t"
            "pop {r4-r11, pc}");
}

#else

void kg_linear_rows(const uint32_t *x, const uint32_t *x_end, const uint8_t *w, int32_t pitch,
                    int32_t *sums) {
    for (; x < x_end; x += 2, w += 4) {
        for (int32_t j = 0; j < 4; j++) {
            uint32_t weights = kg_load_word(w + j * pitch);
            sums[j] = kg_smlad(kg_uxtb16(weights), x[0], sums[j]);
            sums[j] = kg_smlad(kg_uxtb16_ror8(weights), x[1], sums[j]);
        }
    }
}

#endif
