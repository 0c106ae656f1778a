// SPDX-License-Identifier: Apache-2.0
// The inner loops of panel_dsp.h: eight sums, two weights and two inputs in registers, the pointers
// in the last two; what else they need waits on the stack.
#include "ops/dsp.h"
#include "ops/panel_dsp.h"

#ifdef __ARM_FEATURE_DSP

#define UNUSED __attribute__((unused))

// r2 and r3 (end, sums) go to the stack, the pitch stays there; r4-r7 start as one bias, r8-r11 as
// the other.
#define ENTER                                                                                      \
    "push {r2-r11, lr}\n\t"                                                                        \
    "ldrd r4, r8, [r1], #8\n\t"                                                                    \
    "mov r5, r4\n\t"                                                                               \
    "mov r6, r4\n\t"                                                                               \
    "mov r7, r4\n\t"                                                                               \
    "mov r9, r8\n\t"                                                                               \
    "mov r10, r8\n\t"                                                                              \
    "mov r11, r8\n\t"

// Two positions; their sums are registers a0, b0 and a1, b1.
#define POSITIONS(a0, b0, a1, b1)                                                                  \
    "smlad " a0 ", r12, r2, " a0 "\n\t"                                                            \
    "smlad " b0 ", r12, r3, " b0 "\n\t"                                                            \
    "smlad " a1 ", lr, r2, " a1 "\n\t"                                                             \
    "smlad " b1 ", lr, r3, " b1 "\n\t"

// One pair of the fan-in; first and second are how the two words of two positions are addressed.
#define PAIR(first, second)                                                                        \
    "ldrd r2, r3, [r1], #8\n\t"                                                                    \
    "ldrd r12, lr, " first                                                                         \
    "\n\t" POSITIONS("r4", "r8", "r5", "r9") "ldrd r12, lr, " second                               \
                                             "\n\t" POSITIONS("r6", "r10", "r7", "r11")

#define TURN(label)                                                                                \
    "ldr r12, [sp]\n\t"                                                                            \
    "cmp r1, r12\n\t"                                                                              \
    "bne " label "b\n\t"

#define LEAVE                                                                                      \
    "ldr r0, [sp, #4]\n\t"                                                                         \
    "stm r0, {r4-r11}\n\t"                                                                         \
    "add sp, sp, #8\n\t"                                                                           \
    "pop {r4-r11, pc}"

__attribute__((naked)) void kg_panel_products(const uint32_t *x UNUSED,
                                              const uint32_t *stream UNUSED,
                                              const uint32_t *end UNUSED, int32_t *sums UNUSED) {
    __asm__(ENTER "1:\n\t"                //
            PAIR("[r0], #8", "[r0], #8")  //
            PAIR("[r0], #8", "[r0], #8")  //
            TURN("1") LEAVE);
}

__attribute__((naked)) void kg_panel_products_3(const uint32_t *x UNUSED,
                                                const uint32_t *stream UNUSED,
                                                const uint32_t *end UNUSED, int32_t *sums UNUSED,
                                                int32_t pitch UNUSED) {
    __asm__(ENTER "1:\n\t"                 //
            PAIR("[r0]", "[r0, #8]")       //
            PAIR("[r0, #4]", "[r0, #12]")  //
            PAIR("[r0, #8]", "[r0, #16]")  //
            "ldr r12, [sp, #44]\n\t"       //
            "add r0, r0, r12, lsl #2\n\t"  //
            TURN("1") LEAVE);
}

#else

static void add_pair(const uint32_t *x, const uint32_t *weights, int32_t *sums) {
    for (int32_t j = 0; j < KG_PANEL_POSITIONS; j++) {
        sums[j] = kg_smlad(x[j], weights[0], sums[j]);
        sums[4 + j] = kg_smlad(x[j], weights[1], sums[4 + j]);
    }
}

static void start(const uint32_t *stream, int32_t *sums) {
    for (int32_t j = 0; j < KG_PANEL_POSITIONS; j++) {
        sums[j] = (int32_t)stream[0];
        sums[4 + j] = (int32_t)stream[1];
    }
}

void kg_panel_products(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                       int32_t *sums) {
    start(stream, sums);
    for (stream += 2; stream < end; stream += 2, x += KG_PANEL_POSITIONS) {
        add_pair(x, stream, sums);
    }
}

void kg_panel_products_3(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                         int32_t *sums, int32_t pitch) {
    start(stream, sums);
    for (stream += 2; stream < end; x += pitch) {
        for (int32_t v = 0; v < 3; v++, stream += 2) {
            add_pair(x + v, stream, sums);
        }
    }
}

#endif
