// SPDX-License-Identifier: Apache-2.0
// What the files of the Cortex-M port give to each other; the build adds KG_CORE_HZ, KG_UART_BASE,
// KG_FLASH_BASE, KG_FLASH_BYTES, KG_RAM_BASE and KG_RAM_BYTES from the board's memory map, and the
// same for KG_CODE_RAM and KG_TENSOR_RAM: 0 bytes where code and tensors have no memory of their
// own.
#ifndef KG_PORT_CORTEX_M_CHIP_H
#define KG_PORT_CORTEX_M_CHIP_H

#include <stdbool.h>
#include <stdint.h>

#ifndef KG_UART_BAUD
#define KG_UART_BAUD 115200
#endif

// From the linker script. The stack grows down from kg_stack_top.
extern uint32_t kg_stack_start[], kg_stack_top[];

// True once kg_port_init is through: the UART can print.
extern bool kg_port_ready;

// One file per chip: clocks and UART. It also has kg_port_read and kg_port_write.
void kg_chip_init(void);

// Called before RAM is used, for a chip that must set it up. It must not touch the stack.
void kg_chip_reset(void);

// Starts the counter behind kg_port_cycles at 0.
void kg_cycles_start(void);

// Fills the whole stack with the pattern that kg_port_stack_peak looks for; only for reset.
void kg_stack_paint(void);

// Vector of every exception: reports it over the UART and stops.
void kg_fault_entry(void);

#endif
