// SPDX-License-Identifier: Apache-2.0
// Clock cycles on the MPS2 boards: the FPGA's 32-bit counter, extended to 64 bits on every read.
// QEMU has no DWT counter. Run with `-icount shift=10`, one instruction takes 1.024 us there: 25.6
// counts.
#include "port/kg_port.h"

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"

#define FPGAIO_COUNTER 0x40028018u

static uint64_t total;
static uint32_t last;

void kg_cycles_start(void) {
    total = 0;
    last = kg_get(FPGAIO_COUNTER);
}

// Right if called more often than the counter wraps, 172 s: every step of a model does.
uint64_t kg_port_cycles(void) {
    uint32_t now = kg_get(FPGAIO_COUNTER);
    total += now - last;
    last = now;
    return total;
}
