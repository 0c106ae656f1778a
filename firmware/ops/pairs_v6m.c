// SPDX-License-Identifier: Apache-2.0
// Two products by one multiplication for Cortex-M0+: Thumb assembly, and beside it what it means in
// C.
//
// A word holds two bytes, x0 + 2^16 x1. Times v it is v x0 + 2^16 v x1, and neither product leaves
// its half while v is at most 255. S sums these words modulo 2^32, H their upper halves: then H is
// the sum of v x1, and S - 2^16 H that of v x0.
#include "ops/pairs_v6m.h"

#if defined(__ARM_ARCH_6M__)

#include "ops/thumb_v6m.h"

// clang-format off

// As kg_taps_append_v6m; r5 is the end of the free memory, lr the sum.
// sp: 0 block, 4 list, 8 channels left, 12 16 from the end of a channel to the next one.
__asm__(
    KG_BEGIN(kg_taps_split_v6m)
    KG_SAVE
    "    sub sp, #20\n"
    "    str r0, [sp]\n"
    "    str r1, [sp, #4]\n"
    "    movs r7, r0\n"
    "    ldr r3, [r1]\n"
    "    ldr r5, [r1, #4]\n"
    "    mov r12, r5\n"
    "    ldr r0, [r7, #8]\n"  // width
    "    ldr r1, [r7, #20]\n"  // step
    "    mov r8, r1\n"
    "    muls r1, r0\n"
    "    mov r10, r1\n"
    "    ldr r2, [r7, #24]\n"  // row
    "    subs r4, r2, r1\n"
    "    mov r11, r4\n"
    "    ldr r5, [r7, #36]\n"  // offset_step
    "    mov r9, r5\n"
    "    muls r5, r0\n"
    "    ldr r6, [r7, #40]\n"  // offset_row
    "    mov r4, r12\n"
    "    subs r5, r6, r5\n"
    "    mov r12, r5\n"
    "    mov r5, r4\n"
    "    ldr r0, [r7, #12]\n"  // height
    "    muls r2, r0\n"
    "    muls r6, r0\n"
    "    ldr r1, [r7, #28]\n"  // channel
    "    subs r1, r1, r2\n"
    "    str r1, [sp, #12]\n"
    "    ldr r1, [r7, #44]\n"  // offset_channel
    "    subs r1, r1, r6\n"
    "    str r1, [sp, #16]\n"
    "    ldr r1, [r7, #16]\n"  // channels
    "    str r1, [sp, #8]\n"
    "    ldr r0, [r7]\n"
    "    ldr r1, [r7, #32]\n"
    "    ldr r4, [r7, #4]\n"
    "    movs r2, #0\n"
    "    mov lr, r2\n"
    "1:  ldr r7, [sp]\n"
    "    ldr r6, [r7, #8]\n"
    "    ldr r2, [r7, #20]\n"
    "    ldr r7, [r7, #12]\n"
    "    cmp r6, #3\n"
    "    bne 2f\n"
    "    cmp r2, #1\n"
    "    beq 6f\n"
    // Rows of any width.
    "2:  mov r6, r10\n"
    "    adds r6, r6, r0\n"
    "3:  ldrb r2, [r0]\n"
    "    add r0, r8\n"
    "    subs r2, r2, r4\n"
    "    beq 5f\n"
    "    add lr, r2\n"
    "    bmi 4f\n"
    "    stm r3!, {r1, r2}\n"
    "    add r1, r9\n"
    "    cmp r0, r6\n"
    "    bne 3b\n"
    "    b 8f\n"
    "4:  negs r2, r2\n"
    "    subs r5, #8\n"
    "    str r1, [r5]\n"
    "    str r2, [r5, #4]\n"
    "5:  add r1, r9\n"
    "    cmp r0, r6\n"
    "    bne 3b\n"
    "8:  add r0, r11\n"
    "    add r1, r12\n"
    "    subs r7, r7, #1\n"
    "    bne 2b\n"
    "    b 9f\n"
    // Rows of three neighbours.
    "6:  mov r6, r9\n"
    "    .irp at, 0, 1, 2\n"
    "    ldrb r2, [r0, #\\at]\n"
    "    subs r2, r2, r4\n"
    "    beq 72f\n"
    "    add lr, r2\n"
    "    bmi 71f\n"
    "    stm r3!, {r1, r2}\n"
    "    b 72f\n"
    "71: negs r2, r2\n"
    "    subs r5, #8\n"
    "    str r1, [r5]\n"
    "    str r2, [r5, #4]\n"
    "72: adds r1, r1, r6\n"
    "    .endr\n"
    "    add r0, r10\n"
    "    add r0, r11\n"
    "    add r1, r12\n"
    "    subs r7, r7, #1\n"
    "    bne 6b\n"
    "9:  ldr r2, [sp, #12]\n"
    "    adds r0, r0, r2\n"
    "    ldr r2, [sp, #16]\n"
    "    adds r1, r1, r2\n"
    "    ldr r2, [sp, #8]\n"
    "    subs r2, r2, #1\n"
    "    str r2, [sp, #8]\n"
    "    bne 1b\n"
    "    ldr r1, [sp, #4]\n"
    "    str r3, [r1]\n"
    "    str r5, [r1, #4]\n"
    "    ldr r2, [r1, #8]\n"
    "    add r2, lr\n"
    "    str r2, [r1, #8]\n"
    "    add sp, #20\n"
    KG_RESTORE
    KG_END(kg_taps_split_v6m));

// Two words of products into S and H.
#define KEEP \
    "    add r8, r5\n" \
    "    lsrs r5, r5, #16\n" \
    "    add r9, r5\n" \
    "    add r10, r6\n" \
    "    lsrs r6, r6, #16\n" \
    "    add r11, r6\n"

// Four rows at a time, two taps a pass; `pass` is a pass of the unrolled loop, `bytes` its size.
// r0 next tap, r1-r4 two taps, r5 r6 pairs, r7 end of the list; r8 r10 sums of words, r9 r11 sums of
// upper halves, r12 pairs of these rows, lr where in the unrolled loop a pass begins.
// sp: 0 first tap, 4 sums, 8 end of the sums, 12 add, 16 how a list begins: even or odd.
#define PAIRS_DOT(name, bytes, pass) \
    KG_BEGIN(name) \
    KG_SAVE \
    "    sub sp, #20\n" \
    "    str r0, [sp]\n" \
    "    str r3, [sp, #4]\n" \
    "    mov r12, r2\n" \
    "    ldr r2, [sp, #56]\n" /* count */ \
    "    lsls r2, r2, #2\n" \
    "    adds r2, r2, r3\n" \
    "    str r2, [sp, #8]\n" \
    "    ldr r2, [sp, #60]\n" /* add */ \
    "    str r2, [sp, #12]\n" \
    "    mov r7, r1\n" \
    /* An odd count starts with one tap for itself. */ \
    "    subs r1, r1, r0\n" \
    "    adr r2, 10f\n" \
    "    lsrs r3, r1, #4\n" /* carry: the count is odd */ \
    "    bcc 1f\n" \
    "    adr r2, 11f\n" \
    "1:  str r2, [sp, #16]\n" \
    "    adr r4, 13f\n" \
    "    cmp r3, #0\n" \
    "    beq 2f\n" \
    "    negs r3, r3\n" \
    "    movs r4, #3\n" \
    "    ands r3, r4\n" \
    "    movs r4, #" #bytes "\n" \
    "    muls r3, r4\n" \
    "    adr r4, 12f\n" \
    "    adds r4, r4, r3\n" \
    "2:  mov lr, r4\n" \
    /* The next four rows. */ \
    "3:  ldr r0, [sp]\n" \
    "    ldr r1, [sp, #16]\n" \
    "    mov pc, r1\n" \
    "    .balign 4\n" \
    "10: movs r1, #0\n" \
    "    mov r8, r1\n" \
    "    mov r9, r1\n" \
    "    mov r10, r1\n" \
    "    mov r11, r1\n" \
    "    mov pc, lr\n" \
    "    .balign 4\n" \
    "11: ldm r0!, {r1, r2}\n" \
    "    add r1, r12\n" \
    "    ldm r1!, {r5, r6}\n" \
    "    muls r5, r2\n" \
    "    muls r6, r2\n" \
    "    mov r8, r5\n" \
    "    lsrs r5, r5, #16\n" \
    "    mov r9, r5\n" \
    "    mov r10, r6\n" \
    "    lsrs r6, r6, #16\n" \
    "    mov r11, r6\n" \
    "    mov pc, lr\n" \
    "    .balign 4\n" \
    "12:\n" \
    "    .rept 4\n" \
    pass \
    "    .endr\n" \
    "    cmp r0, r7\n" \
    "    bne 12b\n" \
    "    .balign 4\n" \
    "13: mov r1, r8\n" \
    "    mov r2, r9\n" \
    "    lsls r3, r2, #16\n" \
    "    subs r1, r1, r3\n" \
    "    mov r3, r10\n" \
    "    mov r4, r11\n" \
    "    lsls r5, r4, #16\n" \
    "    subs r3, r3, r5\n" \
    "    ldr r0, [sp, #4]\n" \
    "    ldr r5, [sp, #12]\n" \
    "    cmp r5, #0\n" \
    "    bne 15f\n" \
    "14: stm r0!, {r1-r4}\n" \
    "    str r0, [sp, #4]\n" \
    "    movs r1, #8\n" \
    "    add r12, r1\n" \
    "    ldr r1, [sp, #8]\n" \
    "    cmp r0, r1\n" \
    "    beq 16f\n" \
    "    b 3b\n" \
    /* To sums that are there: added, or taken off. */ \
    "15: muls r1, r5\n" \
    "    muls r2, r5\n" \
    "    muls r3, r5\n" \
    "    muls r4, r5\n" \
    "    ldr r5, [r0]\n" \
    "    adds r1, r1, r5\n" \
    "    ldr r5, [r0, #4]\n" \
    "    adds r2, r2, r5\n" \
    "    ldr r5, [r0, #8]\n" \
    "    adds r3, r3, r5\n" \
    "    ldr r5, [r0, #12]\n" \
    "    adds r4, r4, r5\n" \
    "    b 14b\n" \
    "16: add sp, #20\n" \
    KG_RESTORE \
    KG_END(name)

// 21 instructions do eight products.
__asm__(PAIRS_DOT(kg_pairs_dot_v6m, 42,
    "    ldm r0!, {r1-r4}\n"
    "    add r1, r12\n"
    "    ldm r1!, {r5, r6}\n"
    "    muls r5, r2\n"
    "    muls r6, r2\n"
    KEEP
    "    add r3, r12\n"
    "    ldm r3!, {r5, r6}\n"
    "    muls r5, r4\n"
    "    muls r6, r4\n"
    KEEP));

// The same for values so small that two products fit a half: 17 instructions.
__asm__(PAIRS_DOT(kg_small_pairs_dot_v6m, 34,
    "    ldm r0!, {r1-r4}\n"
    "    add r1, r12\n"
    "    ldm r1!, {r5, r6}\n"
    "    muls r5, r2\n"
    "    muls r6, r2\n"
    "    add r3, r12\n"
    "    ldm r3!, {r1, r2}\n"
    "    muls r1, r4\n"
    "    muls r2, r4\n"
    "    adds r5, r5, r1\n"
    "    adds r6, r6, r2\n"
    KEEP));

// clang-format on

#else

static void append_split(kg_split_v6m_t *list, int32_t offset, int32_t value) {
    list->total += value;
    if (value > 0) {
        *list->end++ = (kg_tap_t){offset, value};
    } else if (value < 0) {
        *--list->negatives = (kg_tap_t){offset, -value};
    }
}

void kg_taps_split_v6m(const kg_block_v6m_t *block, kg_split_v6m_t *list) {
    for (int32_t i = 0; i < block->channels; i++) {
        for (int32_t u = 0; u < block->height; u++) {
            const uint8_t *from = block->values + i * block->channel + u * block->row;
            int32_t offset = block->offset + i * block->offset_channel + u * block->offset_row;
            for (int32_t v = 0; v < block->width; v++, offset += block->offset_step) {
                append_split(list, offset, from[v * block->step] - block->zero);
            }
        }
    }
}

void kg_pairs_dot_v6m(kg_tap_list_t list, const void *pairs, int32_t *sums, int32_t count,
                      int32_t add) {
    for (int32_t j = 0; j < count; j++) {
        int32_t sum = 0;
        for (const kg_tap_t *tap = list.first; tap < list.end; tap++) {
            const uint16_t *halves = (const uint16_t *)((const uint8_t *)pairs + tap->offset);
            sum += tap->value * halves[j];
        }
        sums[j] = add == 0 ? sum : sums[j] + add * sum;
    }
}

void kg_small_pairs_dot_v6m(kg_tap_list_t list, const void *pairs, int32_t *sums, int32_t count,
                            int32_t add) {
    kg_pairs_dot_v6m(list, pairs, sums, count, add);
}

#endif

void kg_pairs_pack_v6m(const uint8_t *bytes, int32_t count, int32_t row, int32_t columns,
                       uint16_t *halves) {
    int32_t rounded = kg_pairs_round_v6m(count);
    for (int32_t j = 0; j < rounded; j++, bytes += row, halves++) {
        uint16_t *to = halves;
        for (int32_t k = 0; k < columns; k++, to += rounded) {
            *to = j < count ? bytes[k] : 0;
        }
    }
}
