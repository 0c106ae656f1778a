// SPDX-License-Identifier: Apache-2.0
// Access to memory-mapped registers.
#ifndef KG_PORT_CORTEX_M_REGISTERS_H
#define KG_PORT_CORTEX_M_REGISTERS_H

#include <stdint.h>

static inline uint32_t kg_get(uint32_t address) {
    return *(const volatile uint32_t *)address;
}

static inline void kg_put(uint32_t address, uint32_t value) {
    *(volatile uint32_t *)address = value;
}

// Replaces the bits of mask by those of value.
static inline void kg_change(uint32_t address, uint32_t mask, uint32_t value) {
    kg_put(address, (kg_get(address) & ~mask) | value);
}

// Waits until the bits of mask read as value. It gives up after a time that is ten times longer
// than any oscillator, PLL or regulator here needs, because a simulator without a model of that
// block never reports it ready.
static inline void kg_await(uint32_t address, uint32_t mask, uint32_t value) {
    for (uint32_t tries = 1u << 18; tries > 0 && (kg_get(address) & mask) != value; tries--) {
    }
}

// Everything before is in effect for the core, its memories and its registers.
static inline void kg_barrier(void) {
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

#endif
