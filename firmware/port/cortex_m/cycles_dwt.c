// SPDX-License-Identifier: Apache-2.0
// Core clock cycles on Cortex-M4 and M7: the DWT's counter, extended to 64 bits on every read.
#include "port/kg_port.h"

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"

#define DEMCR 0xE000EDFCu
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL 0xE0001000u
#define DWT_CTRL_CYCCNTENA 1u
#define DWT_CYCCNT 0xE0001004u

static uint64_t total;
static uint32_t last;

void kg_cycles_start(void) {
    kg_change(DEMCR, DEMCR_TRCENA, DEMCR_TRCENA);
    kg_change(DWT_CTRL, DWT_CTRL_CYCCNTENA, DWT_CTRL_CYCCNTENA);
    total = 0;
    last = kg_get(DWT_CYCCNT);
}

// Right if called more often than the counter wraps (7 s at 600 MHz): every step of a model does.
uint64_t kg_port_cycles(void) {
    uint32_t now = kg_get(DWT_CYCCNT);
    total += now - last;
    last = now;
    return total;
}
