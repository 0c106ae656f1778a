// SPDX-License-Identifier: Apache-2.0
// How deep the stack has been: it is painted at reset, and the paint that is left tells.
#include "port/kg_port.h"

#include <stdint.h>

#include "port/cortex_m/chip.h"

#define PAINT 0xC5C5C5C5u

// Paints up to its own stack pointer: nothing below it is in use, as no interrupt is enabled.
void kg_stack_paint(void) {
    const uint32_t *used;
    __asm__ volatile("mov %0, sp" : "=r"(used));
    for (volatile uint32_t *word = kg_stack_start; word < used; word++) {
        *word = PAINT;
    }
}

size_t kg_port_stack_peak(void) {
    const volatile uint32_t *word = kg_stack_start;
    while (word < kg_stack_top && *word == PAINT) {
        word++;
    }
    return (size_t)((uint32_t)kg_stack_top - (uint32_t)word);
}
