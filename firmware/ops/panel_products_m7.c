// SPDX-License-Identifier: Apache-2.0
// The inner loops of panel_dsp.h for two instructions at a time: a load beside each second product.
//
// Registers as in panel_products_dsp.c. A product may use what was loaded two cycles before, so
// each register is loaded anew as soon as its last product is on its way; the last pair of a turn
// loads for the next one, and the last turn a few words that nobody uses.
#include "ops/panel_dsp.h"

#define UNUSED __attribute__((unused))

// clang-format off: a line here is what goes together in one cycle

// The third and fourth argument (end, pitch) go to the stack; r4-r7 start as one bias, r8-r11 as
// the other; r1 is at the weights of the first pair, which are in r2 and r3.
#define ENTER               \
    "push {r2-r11, lr}\n\t" \
    "ldr r4, [r1], #4\n\t"  \
    "ldr r8, [r1], #4\n\t"  \
    LOAD("r2", "r1")        \
    LOAD("r3", "r1, #4")    \
    LOAD("r12", "r0")       \
    "mov r5, r4\n\t"        \
    "mov r6, r4\n\t"        \
    "mov r7, r4\n\t"        \
    "mov r9, r8\n\t"        \
    "mov r10, r8\n\t"       \
    "mov r11, r8\n\t"       \
    "1:\n\t"

#define A(sum, x) "smlad " sum ", " x ", r2, " sum "\n\t"
#define B(sum, x) "smlad " sum ", " x ", r3, " sum "\n\t"
#define LOAD(to, from) "ldr " to ", [" from "]\n\t"

// One pair of the fan-in: the input of position 0 is in r12, those of the others are loaded. What
// comes next is loaded into r12, r2 and r3.
#define PAIR(x1, x2, x3, next_x, next_a, next_b) \
    A("r4", "r12")  LOAD("lr", x1)               \
    B("r8", "r12")                               \
    A("r5", "lr")   LOAD("r12", x2)              \
    B("r9", "lr")                                \
    A("r6", "r12")  LOAD("lr", x3)               \
    B("r10", "r12") LOAD("r12", next_x)          \
    A("r7", "lr")   LOAD("r2", next_a)           \
    B("r11", "lr")  LOAD("r3", next_b)

// The last pair of a turn, which ends with the stream. A turn has weights of so many bytes.
#define LAST_PAIR(x1, x2, x3, bytes)                \
    A("r4", "r12")  LOAD("lr", x1)                  \
    B("r8", "r12")  "add r1, r1, #" bytes "\n\t"    \
    A("r5", "lr")   LOAD("r12", x2)                 \
    B("r9", "lr")                                   \
    A("r6", "r12")  LOAD("lr", x3)                  \
    B("r10", "r12") LOAD("r12", "sp, #4")           \
    A("r7", "lr")   LOAD("r2", "r1")                \
    B("r11", "lr")  "add r0, r0, r12, lsl #2\n\t"   \
    LOAD("lr", "sp") LOAD("r3", "r1, #4")           \
    LOAD("r12", "r0")                               \
    "cmp r1, lr\n\t"                                \
    "bne 1b\n\t"

// The same where the next inputs lie behind those of this turn.
#define LAST_PAIR_IN_ROW(x1, x2, x3, next_x, bytes) \
    A("r4", "r12")  LOAD("lr", x1)                  \
    B("r8", "r12")  "add r1, r1, #" bytes "\n\t"    \
    A("r5", "lr")   LOAD("r12", x2)                 \
    B("r9", "lr")                                   \
    A("r6", "r12")  LOAD("lr", x3)                  \
    B("r10", "r12") LOAD("r12", "sp")               \
    A("r7", "lr")   LOAD("r2", "r1")                \
    B("r11", "lr")  LOAD("r3", "r1, #4")            \
    "cmp r1, r12\n\t"                               \
    "ldr r12, [" next_x "]!\n\t"                    \
    "bne 1b\n\t"

#define LEAVE              \
    LOAD("r0", "sp, #44")  \
    "stm r0, {r4-r11}\n\t" \
    "add sp, sp, #8\n\t"   \
    "pop {r4-r11, pc}"

#define PRODUCTS(name)                                                                        \
    __attribute__((naked)) void name(const uint32_t *x UNUSED, const uint32_t *stream UNUSED, \
                                     const uint32_t *end UNUSED, int32_t pitch UNUSED,        \
                                     int32_t *sums UNUSED)

PRODUCTS(kg_panel_products_1) {
    __asm__(ENTER
            PAIR("r0, #4", "r0, #8", "r0, #12", "r0, #16", "r1, #8", "r1, #12")
            LAST_PAIR_IN_ROW("r0, #20", "r0, #24", "r0, #28", "r0, #32", "16")
            LEAVE);
}

PRODUCTS(kg_panel_products_3) {
    __asm__(ENTER
            PAIR("r0, #4", "r0, #8", "r0, #12", "r0, #4", "r1, #8", "r1, #12")
            PAIR("r0, #8", "r0, #12", "r0, #16", "r0, #8", "r1, #16", "r1, #20")
            LAST_PAIR("r0, #12", "r0, #16", "r0, #20", "24")
            LEAVE);
}

PRODUCTS(kg_panel_products_3_by_2) {
    __asm__(ENTER
            PAIR("r0, #8", "r0, #16", "r0, #24", "r0, #4", "r1, #8", "r1, #12")
            PAIR("r0, #12", "r0, #20", "r0, #28", "r0, #8", "r1, #16", "r1, #20")
            LAST_PAIR("r0, #16", "r0, #24", "r0, #32", "24")
            LEAVE);
}

PRODUCTS(kg_panel_products_5) {
    __asm__(ENTER
            PAIR("r0, #4", "r0, #8", "r0, #12", "r0, #4", "r1, #8", "r1, #12")
            PAIR("r0, #8", "r0, #12", "r0, #16", "r0, #8", "r1, #16", "r1, #20")
            PAIR("r0, #12", "r0, #16", "r0, #20", "r0, #12", "r1, #24", "r1, #28")
            PAIR("r0, #16", "r0, #20", "r0, #24", "r0, #16", "r1, #32", "r1, #36")
            LAST_PAIR("r0, #20", "r0, #24", "r0, #28", "40")
            LEAVE);
}
