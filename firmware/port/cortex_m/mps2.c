// SPDX-License-Identifier: Apache-2.0
// Arm MPS2 boards (Cortex-M System Design Kit, APB UART), which QEMU runs: fixed clock, UART,
// nothing to set up.
#include <stddef.h>
#include <stdint.h>

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"
#include "port/kg_port.h"

#define UART_DATA (KG_UART_BASE + 0x00u)
#define UART_STATE (KG_UART_BASE + 0x04u)
#define UART_STATE_TX_FULL 1u
#define UART_STATE_RX_FULL 2u
#define UART_CTRL (KG_UART_BASE + 0x08u)
#define UART_CTRL_TX_RX 3u
#define UART_BAUDDIV (KG_UART_BASE + 0x10u)

void kg_chip_init(void) {
    kg_put(UART_BAUDDIV, KG_CORE_HZ / KG_UART_BAUD);
    kg_put(UART_CTRL, UART_CTRL_TX_RX);
}

// QEMU takes a lock for every access to a register, which the thread that brings bytes needs, too:
// without a pause between two polls it may starve.
static void pause(void) {
    for (uint32_t i = 0; i < 1000; i++) {
        __asm__ volatile("nop");
    }
}

int kg_port_read(void) {
    while ((kg_get(UART_STATE) & UART_STATE_RX_FULL) == 0) {
        pause();
    }
    return (int)(kg_get(UART_DATA) & 0xFFu);
}

void kg_port_write(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        while ((kg_get(UART_STATE) & UART_STATE_TX_FULL) != 0) {
        }
        kg_put(UART_DATA, data[i]);
    }
}
