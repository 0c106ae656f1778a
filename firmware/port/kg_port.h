// SPDX-License-Identifier: Apache-2.0
// The whole hardware contract: what a board gives to the runtime. One implementation per family,
// see port/.
#ifndef KG_PORT_H
#define KG_PORT_H

#include <stddef.h>
#include <stdint.h>

// Sets up clocks, the UART and the cycle counter. Called once, first thing in main.
void kg_port_init(void);

// Waits for one byte from the link. Returns it, or -1 when the other end has closed the link (host
// only).
int kg_port_read(void);

void kg_port_write(const uint8_t *data, size_t bytes);

// Core clock cycles since kg_port_init, never wraps. The host twin returns 0: only a core has
// cycles.
uint64_t kg_port_cycles(void);

// Bytes of stack used at the deepest point since reset (painted at boot); 0 on the host.
size_t kg_port_stack_peak(void);

#endif
