// SPDX-License-Identifier: Apache-2.0
// The inner loop of depthwise_3x3_dsp.h: four sums, three words of inputs and two of weights in
// registers. Six inputs of a row serve four outputs in eight multiplications, four of them double.
#include "ops/depthwise_3x3_dsp.h"

#include "ops/clamp.h"
#include "ops/dsp.h"

#ifdef __ARM_FEATURE_DSP

#define UNUSED __attribute__((unused))

// clang-format off: a line here is an instruction, or what belongs together

// The words of one row: inputs (0, 1), (2, 3), (4, 5) and weights (0, 1), (1, 2).
#define LOAD_INPUTS(from) "ldm " from ", {r8-r10}\n\t"
#define LOAD_WEIGHTS(from) "ldrd r11, r12, " from "\n\t"

// Adds them to the sums r4-r7; what the sums start from is in a0 to a3.
#define ADD_ROW(a0, a1, a2, a3)       \
    "smlad r4, r8, r11, " a0 "\n\t"   \
    "smlad r5, r9, r12, " a1 "\n\t"   \
    "smlad r6, r9, r11, " a2 "\n\t"   \
    "smlad r7, r10, r12, " a3 "\n\t"  \
    "smlabt r4, r9, r12, r4\n\t"      \
    "smlatb r5, r8, r11, r5\n\t"      \
    "smlabt r6, r10, r12, r6\n\t"     \
    "smlatb r7, r9, r11, r7\n\t"

#define ROUND(sum, to)                         \
    "smmla " sum ", " sum ", r8, r9\n\t"       \
    "asr " sum ", " sum ", r10\n\t"            \
    "usat " sum ", #8, " sum "\n\t"            \
    "strb " sum ", " to "\n\t"

__attribute__((naked)) void kg_depthwise_3x3_blocks(const int16_t *from UNUSED,
                                                    int32_t pitch UNUSED,
                                                    const kg_depthwise_3x3_t *channel UNUSED,
                                                    uint8_t *y UNUSED, int32_t blocks UNUSED) {
    __asm__("push {r4-r11, lr}\n\t"
            "ldr lr, [sp, #36]\n\t"
            "1:\n\t"
            "ldr r7, [r2, #24]\n\t"
            LOAD_WEIGHTS("[r2]")
            LOAD_INPUTS("r0")
            ADD_ROW("r7", "r7", "r7", "r7")
            "add r8, r0, r1\n\t"
            LOAD_WEIGHTS("[r2, #8]")
            LOAD_INPUTS("r8")
            ADD_ROW("r4", "r5", "r6", "r7")
            "add r8, r0, r1, lsl #1\n\t"
            LOAD_WEIGHTS("[r2, #16]")
            LOAD_INPUTS("r8")
            ADD_ROW("r4", "r5", "r6", "r7")
            "add r8, r2, #28\n\t"
            LOAD_INPUTS("r8")
            ROUND("r4", "[r3], #4")
            ROUND("r5", "[r3, #-3]")
            ROUND("r6", "[r3, #-2]")
            ROUND("r7", "[r3, #-1]")
            "adds r0, r0, #8\n\t"
            "subs lr, lr, #1\n\t"
            "bne 1b\n\t"
            "pop {r4-r11, pc}");
}

// clang-format on

#else

static int32_t sum_window(const int16_t *from, int32_t pitch, const kg_depthwise_3x3_t *channel) {
    int32_t sum = channel->bias;
    for (int32_t u = 0; u < 3; u++, from += pitch / (int32_t)sizeof *from) {
        const uint32_t *w = channel->weights + 2 * u;
        sum = kg_smlad(kg_load_word(from), w[0], sum);
        sum = kg_smlabt(kg_load_word(from + 2), w[1], sum);
    }
    return sum;
}

void kg_depthwise_3x3_blocks(const int16_t *from, int32_t pitch, const kg_depthwise_3x3_t *channel,
                             uint8_t *y, int32_t blocks) {
    for (const uint8_t *end = y + 4 * blocks; y < end; y++, from++) {
        int32_t sum = sum_window(from, pitch, channel);
        sum = kg_smmla(sum, channel->multiplier, channel->offset) >> channel->shift;
        *y = (uint8_t)kg_clamp(sum, 0, 255);
    }
}

#endif
