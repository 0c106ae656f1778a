// SPDX-License-Identifier: Apache-2.0
// From sums to bytes on Cortex-M0+, which has no 64-bit product: Thumb assembly, and beside it what
// it means in C.
#include <stdbool.h>

#include "ops/error.h"
#include "ops/taps_v6m.h"

#if defined(__ARM_ARCH_6M__)

#include "ops/thumb_v6m.h"

// For factors from 2^-22 to 1/4, as nearly all are: the upper half of a product is enough, and has
// room for 256 steps of the result.
static bool takes_upper(kg_requant_t factor) {
    return factor.shift > 32 && factor.shift <= 52;
}

void kg_upper_outputs(const int32_t *sums, const int32_t *b, int32_t count, int32_t base,
                      const kg_conv_quant_t *quant, uint8_t *y, int32_t step);
int32_t kg_upper_errors(const int32_t *sums, const int32_t *places, int32_t count, int32_t base,
                        int32_t fraction, kg_requant_t factor, uint8_t *dx, int32_t largest);

// clang-format off

// r0 = the upper half of r0 * multiplier, of which r8 has the lower and r5 the upper 16 bits. Uses
// r1-r3. The sum of middle products stays below 2^31 + 2^16.
#define UPPER_PRODUCT \
    "    uxth r1, r0\n" \
    "    asrs r0, r0, #16\n" \
    "    mov r2, r8\n" \
    "    muls r2, r1\n" \
    "    lsrs r2, r2, #16\n" \
    "    muls r1, r5\n" \
    "    adds r1, r1, r2\n" \
    "    mov r2, r8\n" \
    "    muls r2, r0\n" \
    "    uxth r3, r2\n" \
    "    adds r1, r1, r3\n" \
    "    lsrs r1, r1, #16\n" \
    "    asrs r2, r2, #16\n" \
    "    muls r0, r5\n" \
    "    adds r0, r0, r2\n" \
    "    adds r0, r0, r1\n"

// r0 sum, r1-r3 of the product, r4 next sum, r5 upper half of the multiplier, r6 shift, r7 next
// output; r8 lower half of the multiplier, r9 from a sum to its bias, r10 end of the sums, r11 step,
// r12 base, lr half a step of the output, and y_zero of them.
// sp: 0 y_min, 4 y_max.
__asm__(
    KG_BEGIN(kg_upper_outputs)
    KG_SAVE
    "    sub sp, #8\n"
    "    movs r4, r0\n"
    "    subs r1, r1, r0\n"
    "    mov r9, r1\n"
    "    lsls r2, r2, #2\n"
    "    adds r0, r0, r2\n"
    "    mov r10, r0\n"
    "    mov r12, r3\n"
    "    ldr r0, [sp, #44]\n"  // quant
    "    ldr r7, [sp, #48]\n"  // y
    "    ldr r1, [sp, #52]\n"  // step
    "    mov r11, r1\n"
    "    ldr r5, [r0, #20]\n"
    "    uxth r6, r5\n"
    "    mov r8, r6\n"
    "    lsrs r5, r5, #16\n"
    "    ldr r6, [r0, #24]\n"
    "    subs r6, #32\n"
    "    ldr r3, [r0, #8]\n"
    "    lsls r1, r3, #1\n"
    "    adds r1, #1\n"
    "    lsls r1, r6\n"
    "    asrs r1, r1, #1\n"
    "    mov lr, r1\n"
    "    ldr r1, [r0, #12]\n"
    "    ldr r2, [r0, #16]\n"
    "    str r1, [sp]\n"
    "    str r2, [sp, #4]\n"
    "    cmp r1, #0\n"
    "    bne 3f\n"
    "    cmp r2, #255\n"
    "    bne 3f\n"
    "    cmp r3, #0\n"
    "    bne 1f\n"
    "    b 2f\n"
    // All bytes can be outputs.
    "1:\n"
    "    mov r1, r9\n"
    "    ldr r1, [r4, r1]\n"
    "    ldm r4!, {r0}\n"
    "    adds r0, r0, r1\n"
    "    add r0, r12\n"
    UPPER_PRODUCT
    "    add r0, lr\n"
    "    asrs r0, r6\n"
    "    lsrs r1, r0, #8\n"
    "    bne 5f\n"
    "    strb r0, [r7]\n"
    "    add r7, r11\n"
    "    cmp r4, r10\n"
    "    bne 1b\n"
    "    b 9f\n"
    "\n"
    "5:  mvns r0, r0\n"  // below 0: 0, above 255: 255
    "    asrs r0, r0, #31\n"
    "    uxtb r0, r0\n"
    "    strb r0, [r7]\n"
    "    add r7, r11\n"
    "    cmp r4, r10\n"
    "    bne 1b\n"
    "    b 9f\n"
    // A ReLU: what is not positive ends as 0.
    "2:\n"
    "    mov r1, r9\n"
    "    ldr r1, [r4, r1]\n"
    "    ldm r4!, {r0}\n"
    "    adds r0, r0, r1\n"
    "    add r0, r12\n"
    "    cmp r0, #0\n"
    "    ble 4f\n"
    UPPER_PRODUCT
    "    add r0, lr\n"
    "    asrs r0, r6\n"
    "    lsrs r1, r0, #8\n"
    "    bne 6f\n"
    "    strb r0, [r7]\n"
    "    add r7, r11\n"
    "    cmp r4, r10\n"
    "    bne 2b\n"
    "    b 9f\n"
    "\n"
    "6:  movs r0, #255\n"
    "    b 7f\n"
    "4:  movs r0, #0\n"
    "7:  strb r0, [r7]\n"
    "    add r7, r11\n"
    "    cmp r4, r10\n"
    "    bne 2b\n"
    "    b 9f\n"
    // Any limits.
    "3:\n"
    "    mov r1, r9\n"
    "    ldr r1, [r4, r1]\n"
    "    ldm r4!, {r0}\n"
    "    adds r0, r0, r1\n"
    "    add r0, r12\n"
    UPPER_PRODUCT
    "    add r0, lr\n"
    "    asrs r0, r6\n"
    "    ldr r1, [sp]\n"
    "    cmp r0, r1\n"
    "    bgt 7f\n"
    "    movs r0, r1\n"
    "7:  ldr r1, [sp, #4]\n"
    "    cmp r0, r1\n"
    "    blt 8f\n"
    "    movs r0, r1\n"
    "8:\n"
    "    strb r0, [r7]\n"
    "    add r7, r11\n"
    "    cmp r4, r10\n"
    "    bne 3b\n"
    "    b 9f\n"
    "\n"
    "9:  add sp, #8\n"
    KG_RESTORE
    KG_END(kg_upper_outputs));

// r0 sum, r1-r3 of the product, r4 next sum, r5 upper half of the multiplier, r6 shift, r7 dx; r8
// lower half of the multiplier, r9 from a sum to its place, r10 end of the sums, r11 fraction, r12
// base, lr largest.
// sp: 52 half a step of the error, and 128 of them.
__asm__(
    KG_BEGIN(kg_upper_errors)
    KG_SAVE
    "    movs r4, r0\n"
    "    subs r1, r1, r0\n"
    "    mov r9, r1\n"
    "    lsls r2, r2, #2\n"
    "    adds r0, r0, r2\n"
    "    mov r10, r0\n"
    "    mov r12, r3\n"
    "    ldr r1, [sp, #36]\n"  // fraction
    "    mov r11, r1\n"
    "    ldr r5, [sp, #40]\n"  // multiplier
    "    uxth r6, r5\n"
    "    mov r8, r6\n"
    "    lsrs r5, r5, #16\n"
    "    ldr r6, [sp, #44]\n"  // shift
    "    subs r6, #32\n"
    "    ldr r7, [sp, #48]\n"  // dx
    "    ldr r1, [sp, #52]\n"  // largest
    "    mov lr, r1\n"
    "    movs r1, #255\n"
    "    adds r1, #2\n"
    "    lsls r1, r6\n"
    "    asrs r1, r1, #1\n"
    "    str r1, [sp, #52]\n"
    "    cmp r4, r10\n"
    "    beq 9f\n"
    "1:  ldr r0, [r4]\n"
    "    add r0, r12\n"
    "    mov r1, r11\n"
    "    asrs r0, r1\n"
    "    asrs r1, r0, #31\n"  // |sum|
    "    adds r2, r0, r1\n"
    "    eors r2, r1\n"
    "    cmp r2, lr\n"
    "    ble 2f\n"
    "    mov lr, r2\n"
    "2:\n"
    UPPER_PRODUCT
    "    ldr r1, [sp, #52]\n"
    "    adds r0, r0, r1\n"
    "    asrs r0, r6\n"
    "    mov r2, r9\n"
    "    ldr r2, [r4, r2]\n"
    "    lsrs r1, r0, #8\n"
    "    bne 5f\n"
    "3:  strb r0, [r7, r2]\n"
    "    adds r4, #4\n"
    "    cmp r4, r10\n"
    "    bne 1b\n"
    "    b 9f\n"
    "5:  mvns r0, r0\n"  // below 0: 0, above 255: 255
    "    asrs r0, r0, #31\n"
    "    uxtb r0, r0\n"
    "    b 3b\n"
    "9:  mov r0, lr\n"
    KG_RESTORE
    KG_END(kg_upper_errors));

// clang-format on

#endif

void kg_outputs_v6m(const int32_t *sums, const int32_t *b, int32_t count, int32_t base,
                    const kg_conv_quant_t *quant, uint8_t *y, int32_t step) {
#if defined(__ARM_ARCH_6M__)
    if (takes_upper(quant->forward)) {
        kg_upper_outputs(sums, b, count, base, quant, y, step);
        return;
    }
#endif
    for (int32_t j = 0; j < count; j++, y += step) {
        int32_t value = quant->y_zero + kg_requant(sums[j] + b[j] + base, quant->forward);
        *y = (uint8_t)kg_clamp(value, quant->y_min, quant->y_max);
    }
}

int32_t kg_errors_v6m(const int32_t *sums, const int32_t *places, int32_t count, int32_t base,
                      int32_t fraction, kg_requant_t factor, uint8_t *dx, int32_t largest) {
#if defined(__ARM_ARCH_6M__)
    if (takes_upper(factor)) {
        return kg_upper_errors(sums, places, count, base, fraction, factor, dx, largest);
    }
#endif
    for (int32_t j = 0; j < count; j++) {
        int32_t sum = (sums[j] + base) >> fraction;
        largest = kg_largest(largest, sum);
        dx[places[j]] = kg_error(sum, factor);
    }
    return largest;
}
