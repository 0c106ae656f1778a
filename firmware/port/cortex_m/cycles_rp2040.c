// SPDX-License-Identifier: Apache-2.0
// Core clock cycles on the RP2040, which has no DWT counter: SysTick counts them in 24 bits, and
// the microsecond timer tells how often SysTick has wrapped since the last read. No interrupt is
// needed, and none disturbs a count.
#include "port/kg_port.h"

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"

#define SYST_CSR 0xE000E010u
#define SYST_CSR_CORE_CLOCK_ENABLE 5u
#define SYST_RVR 0xE000E014u
#define SYST_CVR 0xE000E018u
#define TIMER_TIMERAWL 0x40054028u

#define WRAP_BITS 24
#define WRAP_MASK ((1u << WRAP_BITS) - 1u)
#define CYCLES_PER_US (KG_CORE_HZ / 1000000u)

static uint64_t total;
static uint32_t last_ticks, last_us;

void kg_cycles_start(void) {
    kg_put(SYST_RVR, WRAP_MASK);
    kg_put(SYST_CVR, 0);
    kg_put(SYST_CSR, SYST_CSR_CORE_CLOCK_ENABLE);
    total = 0;
    last_us = kg_get(TIMER_TIMERAWL);
    last_ticks = kg_get(SYST_CVR);
}

// Both clocks come from one crystal, so the microseconds are right to far less than half a wrap, 63
// ms. Right if called more often than the microseconds wrap: 71 minutes.
uint64_t kg_port_cycles(void) {
    uint32_t us = kg_get(TIMER_TIMERAWL);
    uint32_t ticks = kg_get(SYST_CVR);
    uint32_t counted = (last_ticks - ticks) & WRAP_MASK;  // SysTick counts down
    uint64_t expected = (uint64_t)(us - last_us) * CYCLES_PER_US;
    uint64_t wraps = (expected - counted + (1u << (WRAP_BITS - 1))) >> WRAP_BITS;
    total += (wraps << WRAP_BITS) + counted;
    last_us = us;
    last_ticks = ticks;
    return total;
}
