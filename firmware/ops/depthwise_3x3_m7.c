// SPDX-License-Identifier: Apache-2.0
// The inner loop of depthwise_3x3_dsp.h for two instructions at a time: a load beside most
// products.
//
// Each register is loaded anew behind its last product; what a load brings is used two cycles later
// at the earliest. The last block loads the first words of one that does not exist.
#include "ops/depthwise_3x3_dsp.h"

#define UNUSED __attribute__((unused))

// clang-format off: a line here is what goes together in one cycle

#define LOAD(to, from) "ldr " to ", [" from "]\n\t"

// Adds one row to the sums r4-r7, which start from a0 to a3: inputs are in r8-r10, weights in r11
// and r12. The words of the next row, whose inputs are at r0 once `step` has been taken, take their
// places.
#define ADD_ROW(a0, a1, a2, a3, step, next_first, next_second)    \
    "smlad r4, r8, r11, " a0 "\n\t"   step                        \
    "smlad r5, r9, r12, " a1 "\n\t"                               \
    "smlad r6, r9, r11, " a2 "\n\t"                               \
    "smlad r7, r10, r12, " a3 "\n\t"                              \
    "smlatb r5, r8, r11, r5\n\t"      LOAD("r8", "r0")            \
    "smlatb r7, r9, r11, r7\n\t"      LOAD("r11", next_first)     \
    "smlabt r4, r9, r12, r4\n\t"      LOAD("r9", "r0, #4")        \
    "smlabt r6, r10, r12, r6\n\t"     LOAD("r10", "r0, #8")       \
    LOAD("r12", next_second)

__attribute__((naked)) void kg_depthwise_3x3_blocks(const int16_t *from UNUSED,
                                                    int32_t pitch UNUSED,
                                                    const kg_depthwise_3x3_t *channel UNUSED,
                                                    uint8_t *y UNUSED, int32_t blocks UNUSED) {
    __asm__("push {r4-r11, lr}\n\t"
            LOAD("lr", "sp, #36")
            LOAD("r8", "r0") LOAD("r9", "r0, #4")
            LOAD("r10", "r0, #8") LOAD("r11", "r2")
            LOAD("r12", "r2, #4") LOAD("r7", "r2, #24")
            "1:\n\t"
            ADD_ROW("r7", "r7", "r7", "r7", "add r0, r0, r1\n\t", "r2, #8", "r2, #12")
            ADD_ROW("r4", "r5", "r6", "r7", "add r0, r0, r1\n\t", "r2, #16", "r2, #20")
            "smlad r4, r8, r11, r4\n\t"     "sub r0, r0, r1\n\t"
            "smlad r5, r9, r12, r5\n\t"     "sub r0, r0, r1\n\t"
            "smlad r6, r9, r11, r6\n\t"     "add r0, r0, #8\n\t"
            "smlad r7, r10, r12, r7\n\t"    "subs lr, lr, #1\n\t"
            "smlabt r4, r9, r12, r4\n\t"
            "smlatb r5, r8, r11, r5\n\t"    LOAD("r8", "r2, #28")
            "smlatb r7, r9, r11, r7\n\t"    LOAD("r9", "r2, #32")
            "smlabt r6, r10, r12, r6\n\t"   LOAD("r10", "r2, #36")
            LOAD("r11", "r2")               LOAD("r12", "r2, #4")
            "smmla r4, r4, r8, r9\n\t"
            "smmla r5, r5, r8, r9\n\t"
            "smmla r6, r6, r8, r9\n\t"      "asr r4, r4, r10\n\t"
            "smmla r7, r7, r8, r9\n\t"      "asr r5, r5, r10\n\t"
            "usat r4, #8, r4\n\t"           "asr r6, r6, r10\n\t"
            "usat r5, #8, r5\n\t"           "asr r7, r7, r10\n\t"
            "usat r6, #8, r6\n\t"           "strb r4, [r3]\n\t"
            "usat r7, #8, r7\n\t"           "strb r5, [r3, #1]\n\t"
            LOAD("r8", "r0")                "strb r6, [r3, #2]\n\t"
            LOAD("r9", "r0, #4")            "strb r7, [r3, #3]\n\t"
            LOAD("r10", "r0, #8")           LOAD("r7", "r2, #24")
            "add r3, r3, #4\n\t"            "bne 1b\n\t"
            "pop {r4-r11, pc}");
}
