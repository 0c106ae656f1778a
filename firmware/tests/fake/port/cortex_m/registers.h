// SPDX-License-Identifier: Apache-2.0
// Stands in for port/cortex_m/registers.h on the host: registers are what a test says they are.
#ifndef KG_TESTS_FAKE_REGISTERS_H
#define KG_TESTS_FAKE_REGISTERS_H

#include <stdint.h>

// Supplied by the test before anything else is called.
extern uint32_t (*kg_fake_get)(uint32_t address);

static inline uint32_t kg_get(uint32_t address) {
    return kg_fake_get(address);
}

static inline void kg_put(uint32_t address, uint32_t value) {
    (void)address;
    (void)value;
}

static inline void kg_change(uint32_t address, uint32_t mask, uint32_t value) {
    (void)address;
    (void)mask;
    (void)value;
}

#endif
