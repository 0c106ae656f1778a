// SPDX-License-Identifier: Apache-2.0
// How deep the stack has been: it is painted at reset, and the paint that is left tells.
#include "port/kg_port.h"

#include <stdint.h>

#include "port/cortex_m/chip.h"

#define PAINT 0xC5C5C5C5u

// In assembly, because a compiler may have put something of its own on the stack by then.
__attribute__((naked)) void kg_stack_paint(void) {
    __asm__ volatile(".syntax unified\n\t"
                     "ldr r0, =kg_stack_start\n\t"
                     "ldr r1, =kg_stack_top\n\t"
                     "ldr r2, =%c0\n\t"
                     "1: str r2, [r0]\n\t"
                     "adds r0, #4\n\t"
                     "cmp r0, r1\n\t"
                     "blo 1b\n\t"
                     "bx lr\n\t"
                     ".ltorg"
                     :
                     : "i"(PAINT));
}

size_t kg_port_stack_peak(void) {
    const volatile uint32_t *word = kg_stack_start;
    while (word < kg_stack_top && *word == PAINT) {
        word++;
    }
    return (size_t)((uint32_t)kg_stack_top - (uint32_t)word);
}
