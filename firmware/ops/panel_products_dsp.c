// SPDX-License-Identifier: Apache-2.0
// The inner loops of panel_dsp.h: eight sums, two weights and two inputs in registers, the pointers
// in the last two; what else they need waits on the stack.
#include "ops/dsp.h"
#include "ops/panel_dsp.h"

#ifdef __ARM_FEATURE_DSP

#define UNUSED __attribute__((unused))

// clang-format off: a line here is an instruction, or what belongs together

// The third and fourth argument (end, pitch) go to the stack; r4-r7 start as one bias, r8-r11 as
// the other.
#define ENTER                   \
    "push {r2-r11, lr}\n\t"     \
    "ldrd r4, r8, [r1], #8\n\t" \
    "mov r5, r4\n\t"            \
    "mov r6, r4\n\t"            \
    "mov r7, r4\n\t"            \
    "mov r9, r8\n\t"            \
    "mov r10, r8\n\t"           \
    "mov r11, r8\n\t"           \
    "1:\n\t"

#define LOAD_WEIGHTS(from) "ldrd r2, r3, " from "\n\t"
#define LOAD_INPUTS(from) "ldrd r12, lr, " from "\n\t"
#define LOAD_INPUT(to, from) "ldr " to ", " from "\n\t"

// Adds input x to one position of both rows: registers a and b.
#define ADD(x, a, b)                     \
    "smlad " a ", " x ", r2, " a "\n\t"  \
    "smlad " b ", " x ", r3, " b "\n\t"

#define ADD_0(x) ADD(x, "r4", "r8")
#define ADD_1(x) ADD(x, "r5", "r9")
#define ADD_2(x) ADD(x, "r6", "r10")
#define ADD_3(x) ADD(x, "r7", "r11")

// One pair of the fan-in; first and second are how the words of two positions are addressed.
#define PAIR(first, second)                       \
    LOAD_WEIGHTS("[r1], #8")                      \
    LOAD_INPUTS(first)  ADD_0("r12") ADD_1("lr")  \
    LOAD_INPUTS(second) ADD_2("r12") ADD_3("lr")

// The same where the words lie one apart.
#define PAIR_APART(first, second, third, fourth)                                 \
    LOAD_WEIGHTS("[r1], #8")                                                     \
    LOAD_INPUT("r12", first) LOAD_INPUT("lr", second) ADD_0("r12") ADD_1("lr")   \
    LOAD_INPUT("r12", third) LOAD_INPUT("lr", fourth) ADD_2("r12") ADD_3("lr")

// On to the next line, until the stream ends.
#define TURN                      \
    "ldrd r12, lr, [sp]\n\t"      \
    "add r0, r0, lr, lsl #2\n\t"  \
    "cmp r1, r12\n\t"             \
    "bne 1b\n\t"

#define LEAVE              \
    "ldr r0, [sp, #44]\n\t"  \
    "stm r0, {r4-r11}\n\t"   \
    "add sp, sp, #8\n\t"     \
    "pop {r4-r11, pc}"

#define PRODUCTS(name)                                                                        \
    __attribute__((naked)) void name(const uint32_t *x UNUSED, const uint32_t *stream UNUSED, \
                                     const uint32_t *end UNUSED, int32_t pitch UNUSED,        \
                                     int32_t *sums UNUSED)

PRODUCTS(kg_panel_products_1) {
    __asm__(ENTER
            PAIR("[r0], #8", "[r0], #8")
            PAIR("[r0], #8", "[r0], #8")
            "ldr r12, [sp]\n\t"
            "cmp r1, r12\n\t"
            "bne 1b\n\t"
            LEAVE);
}

// Taps 0, 2, 1: each begins with inputs that the one before has left in registers.
PRODUCTS(kg_panel_products_3) {
    __asm__(ENTER
            PAIR("[r0]", "[r0, #8]")
            LOAD_WEIGHTS("[r1, #8]")        ADD_0("r12") ADD_1("lr")
            LOAD_INPUTS("[r0, #16]")        ADD_2("r12") ADD_3("lr")
            LOAD_WEIGHTS("[r1], #16")       ADD_3("r12")
            LOAD_INPUTS("[r0, #4]")         ADD_0("r12") ADD_1("lr")
            LOAD_INPUT("r12", "[r0, #12]")  ADD_2("r12")
            TURN LEAVE);
}

PRODUCTS(kg_panel_products_3_by_2) {
    __asm__(ENTER
            PAIR_APART("[r0]", "[r0, #8]", "[r0, #16]", "[r0, #24]")
            PAIR_APART("[r0, #4]", "[r0, #12]", "[r0, #20]", "[r0, #28]")
            PAIR_APART("[r0, #8]", "[r0, #16]", "[r0, #24]", "[r0, #32]")
            TURN LEAVE);
}

PRODUCTS(kg_panel_products_5) {
    __asm__(ENTER
            PAIR("[r0]", "[r0, #8]")
            PAIR("[r0, #4]", "[r0, #12]")
            PAIR("[r0, #8]", "[r0, #16]")
            PAIR("[r0, #12]", "[r0, #20]")
            PAIR("[r0, #16]", "[r0, #24]")
            TURN LEAVE);
}

// clang-format on

#else

// Lines `taps` wide at a stride, the next one `pitch` words behind.
static void add_lines(const uint32_t *x, const uint32_t *stream, const uint32_t *end, int32_t taps,
                      int32_t stride, int32_t pitch, int32_t *sums) {
    for (int32_t j = 0; j < KG_PANEL_POSITIONS; j++) {
        sums[j] = (int32_t)stream[0];
        sums[KG_PANEL_POSITIONS + j] = (int32_t)stream[1];
    }
    for (stream += 2; stream < end; x += pitch) {
        for (int32_t v = 0; v < taps; v++, stream += 2) {
            for (int32_t j = 0; j < KG_PANEL_POSITIONS; j++) {
                int32_t *sum = sums + j;
                sum[0] = kg_smlad(x[j * stride + v], stream[0], sum[0]);
                sum[4] = kg_smlad(x[j * stride + v], stream[1], sum[4]);
            }
        }
    }
}

void kg_panel_products_1(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                         int32_t pitch, int32_t *sums) {
    (void)pitch;
    add_lines(x, stream, end, 1, 1, KG_PANEL_POSITIONS, sums);
}

void kg_panel_products_3(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                         int32_t pitch, int32_t *sums) {
    add_lines(x, stream, end, 3, 1, pitch, sums);
}

void kg_panel_products_3_by_2(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                              int32_t pitch, int32_t *sums) {
    add_lines(x, stream, end, 3, 2, pitch, sums);
}

void kg_panel_products_5(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                         int32_t pitch, int32_t *sums) {
    add_lines(x, stream, end, 5, 1, pitch, sums);
}

#endif
