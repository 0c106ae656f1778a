// SPDX-License-Identifier: Apache-2.0
// The frame of a function in Thumb assembly, for Cortex-M0+.
#ifndef KG_OPS_THUMB_V6M_H
#define KG_OPS_THUMB_V6M_H

// clang-format off

#define KG_BEGIN(name) \
    "    .syntax unified\n" \
    "    .pushsection .text." #name ", \"ax\", %progbits\n" \
    "    .balign 4\n" \
    "    .global " #name "\n" \
    "    .type " #name ", %function\n" \
    "    .thumb_func\n" \
    #name ":\n"

#define KG_END(name) \
    "    .size " #name ", . - " #name "\n" \
    "    .popsection\n"

// All registers that a caller wants back: nine words below the arguments.
#define KG_SAVE \
    "    push {r4-r7, lr}\n" \
    "    mov r4, r8\n" \
    "    mov r5, r9\n" \
    "    mov r6, r10\n" \
    "    mov r7, r11\n" \
    "    push {r4-r7}\n"

#define KG_RESTORE \
    "    pop {r4-r7}\n" \
    "    mov r8, r4\n" \
    "    mov r9, r5\n" \
    "    mov r10, r6\n" \
    "    mov r11, r7\n" \
    "    pop {r4-r7, pc}\n"

// clang-format on

#endif
