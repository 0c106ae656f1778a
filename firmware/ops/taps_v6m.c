// SPDX-License-Identifier: Apache-2.0
// Lists of operands for Cortex-M0+: Thumb assembly, and beside it what it means in C.
#include "ops/taps_v6m.h"

#if defined(__ARM_ARCH_6M__)

#include "ops/thumb_v6m.h"

// clang-format off

// Nine instructions a value, seven if it is left out; rows of three neighbours take 7 1/3.
// r0 next value, r1 offset, r2 value, r3 end of the list, r4 zero, r5 sum, r6 end of the row, r7
// rows left; r8 step, r9 offset_step, r10 bytes of a row, r11 r12 from the end of a row to the next
// one, of values and of offsets, lr 0.
// sp: 0 block, 4 total, 8 channels left, 12 16 from the end of a channel to the next one.
__asm__(
    KG_BEGIN(kg_taps_append_v6m)
    KG_SAVE
    "    sub sp, #20\n"
    "    str r0, [sp]\n"
    "    str r2, [sp, #4]\n"
    "    movs r3, r1\n"
    "    movs r7, r0\n"
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
    "    subs r5, r6, r5\n"
    "    mov r12, r5\n"
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
    "    movs r5, #0\n"
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
    "    beq 4f\n"
    "    stm r3!, {r1, r2}\n"
    "    adds r5, r5, r2\n"
    "4:  add r1, r9\n"
    "    cmp r0, r6\n"
    "    bne 3b\n"
    "    add r0, r11\n"
    "    add r1, r12\n"
    "    subs r7, r7, #1\n"
    "    bne 2b\n"
    "    b 9f\n"
    // Rows of three neighbours.
    "6:  mov r6, r9\n"
    "    .irp at, 0, 1, 2\n"
    "    ldrb r2, [r0, #\\at]\n"
    "    subs r2, r2, r4\n"
    "    beq 7f\n"
    "    stm r3!, {r1, r2}\n"
    "    adds r5, r5, r2\n"
    "7:  adds r1, r1, r6\n"
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
    "    ldr r2, [r1]\n"
    "    adds r2, r2, r5\n"
    "    str r2, [r1]\n"
    "    movs r0, r3\n"
    "    add sp, #20\n"
    KG_RESTORE
    KG_END(kg_taps_append_v6m));

// A pass has two rows and the whole list. LDM takes two taps, 13 instructions do four products.
// r0 next tap, r1-r4 two taps, r5 r6 the rows, r7 product; r8 r9 sums, r10 end of the list, r11
// where in the unrolled loop a pass begins, r12 partners, lr next of rows[].
// sp: 0 first tap, 4 end of the pairs in rows[], 8 how a list begins: even or odd, 12 not 0: there
// is one more row.
__asm__(
    KG_BEGIN(kg_taps_dot_v6m)
    KG_SAVE
    "    sub sp, #16\n"
    "    mov r10, r1\n"
    "    mov r12, r2\n"
    "    mov lr, r3\n"
    "    str r0, [sp]\n"
    "    ldr r2, [sp, #52]\n"
    "    lsrs r4, r2, #1\n"
    "    lsls r4, r4, #3\n"
    "    adds r4, r4, r3\n"
    "    str r4, [sp, #4]\n"
    "    lsls r2, r2, #31\n"
    "    str r2, [sp, #12]\n"
    // An odd count starts with one tap for itself.
    "    subs r1, r1, r0\n"
    "    adr r2, 10f\n"
    "    lsrs r3, r1, #4\n"  // carry: the count is odd
    "    bcc 1f\n"
    "    adr r2, 11f\n"
    "1:  str r2, [sp, #8]\n"
    // Eight pairs of taps a turn, 26 bytes of code each; the first turn may be shorter.
    "    adr r4, 13f\n"
    "    cmp r3, #0\n"
    "    beq 2f\n"
    "    negs r3, r3\n"
    "    movs r4, #7\n"
    "    ands r3, r4\n"
    "    movs r4, #26\n"
    "    muls r3, r4\n"
    "    adr r4, 12f\n"
    "    adds r4, r4, r3\n"
    "2:  mov r11, r4\n"
    "    mov r7, lr\n"
    "    ldr r5, [sp, #4]\n"
    "    cmp r7, r5\n"
    "    bne 4f\n"
    "    b 20f\n"
    // The next two rows.
    "4:  ldm r7!, {r5, r6}\n"
    "    add r5, r12\n"
    "    add r6, r12\n"
    "    ldr r0, [sp]\n"
    "    ldr r7, [sp, #8]\n"
    "    mov pc, r7\n"
    "    .balign 4\n"
    "10: movs r7, #0\n"
    "    mov r8, r7\n"
    "    mov r9, r7\n"
    "    mov pc, r11\n"
    "    .balign 4\n"
    "11: ldm r0!, {r1, r2}\n"
    "    ldrb r7, [r5, r1]\n"
    "    muls r7, r2\n"
    "    mov r8, r7\n"
    "    ldrb r7, [r6, r1]\n"
    "    muls r7, r2\n"
    "    mov r9, r7\n"
    "    mov pc, r11\n"
    "    .balign 4\n"
    "12:\n"
    "    .rept 8\n"
    "    ldm r0!, {r1-r4}\n"
    "    ldrb r7, [r5, r1]\n"
    "    muls r7, r2\n"
    "    add r8, r7\n"
    "    ldrb r7, [r6, r1]\n"
    "    muls r7, r2\n"
    "    add r9, r7\n"
    "    ldrb r7, [r5, r3]\n"
    "    muls r7, r4\n"
    "    add r8, r7\n"
    "    ldrb r7, [r6, r3]\n"
    "    muls r7, r4\n"
    "    add r9, r7\n"
    "    .endr\n"
    "    cmp r0, r10\n"
    "    bne 12b\n"
    "    .balign 4\n"
    "13: mov r7, lr\n"
    "    mov r5, r8\n"
    "    mov r6, r9\n"
    "    stm r7!, {r5, r6}\n"
    "    mov lr, r7\n"
    "    ldr r5, [sp, #4]\n"
    "    cmp r7, r5\n"
    "    beq 20f\n"
    "    b 4b\n"
    // One row is left, or none.
    "20: ldr r5, [sp, #12]\n"
    "    cmp r5, #0\n"
    "    beq 25f\n"
    "    ldr r5, [r7]\n"
    "    add r5, r12\n"
    "    ldr r0, [sp]\n"
    "    movs r6, #0\n"
    "    mov r7, r10\n"
    "    subs r7, r7, r0\n"
    "    lsrs r7, r7, #4\n"
    "    bcc 21f\n"
    "    ldm r0!, {r1, r2}\n"
    "    ldrb r6, [r5, r1]\n"
    "    muls r6, r2\n"
    "21: cmp r0, r10\n"
    "    beq 24f\n"
    "    lsls r7, r7, #31\n"  // carry: bit 1 of the pairs, sign: bit 0
    "    bcc 22f\n"
    "    .rept 2\n"
    "    ldm r0!, {r1-r4}\n"
    "    ldrb r1, [r5, r1]\n"
    "    muls r1, r2\n"
    "    adds r6, r6, r1\n"
    "    ldrb r3, [r5, r3]\n"
    "    muls r3, r4\n"
    "    adds r6, r6, r3\n"
    "    .endr\n"
    "22: cmp r7, #0\n"
    "    beq 23f\n"
    "    ldm r0!, {r1-r4}\n"
    "    ldrb r1, [r5, r1]\n"
    "    muls r1, r2\n"
    "    adds r6, r6, r1\n"
    "    ldrb r3, [r5, r3]\n"
    "    muls r3, r4\n"
    "    adds r6, r6, r3\n"
    "23: cmp r0, r10\n"
    "    beq 24f\n"
    "    .rept 4\n"
    "    ldm r0!, {r1-r4}\n"
    "    ldrb r1, [r5, r1]\n"
    "    muls r1, r2\n"
    "    adds r6, r6, r1\n"
    "    ldrb r3, [r5, r3]\n"
    "    muls r3, r4\n"
    "    adds r6, r6, r3\n"
    "    .endr\n"
    "    b 23b\n"
    "24: mov r7, lr\n"
    "    str r6, [r7]\n"
    "25: add sp, #16\n"
    KG_RESTORE
    KG_END(kg_taps_dot_v6m));

// clang-format on

#else

kg_tap_t *kg_taps_append_v6m(const kg_block_v6m_t *block, kg_tap_t *end, int32_t *total) {
    for (int32_t i = 0; i < block->channels; i++) {
        for (int32_t u = 0; u < block->height; u++) {
            const uint8_t *from = block->values + i * block->channel + u * block->row;
            int32_t offset = block->offset + i * block->offset_channel + u * block->offset_row;
            for (int32_t v = 0; v < block->width; v++, offset += block->offset_step) {
                int32_t value = from[v * block->step] - block->zero;
                if (value != 0) {
                    *end++ = (kg_tap_t){offset, value};
                    *total += value;
                }
            }
        }
    }
    return end;
}

void kg_taps_dot_v6m(kg_tap_list_t list, const uint8_t *partners, int32_t *rows, int32_t count) {
    for (int32_t j = 0; j < count; j++) {
        rows[j] = kg_taps_dot_u8(list, partners + rows[j]);
    }
}

#endif
