// SPDX-License-Identifier: Apache-2.0
// Raspberry Pi RP2040 (RP2040 datasheet): 12 MHz crystal, PLL, UART on GPIO 0 (TX) and 1 (RX).
//
// Registers are written whole, without the atomic aliases: one core runs, without interrupts.
#include <stddef.h>
#include <stdint.h>

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"
#include "port/kg_port.h"

#define CRYSTAL_HZ 12000000u

#define CLK_REF_CTRL 0x40008030u
#define CLK_REF_DIV 0x40008034u
#define CLK_REF_SELECTED 0x40008038u
#define CLK_REF_FROM_CRYSTAL 2u
#define CLK_SYS_CTRL 0x4000803Cu
#define CLK_SYS_DIV 0x40008040u
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_SYS_FROM_REF 0u
#define CLK_SYS_FROM_PLL 1u  // the auxiliary source, which is PLL_SYS
#define CLK_PERI_CTRL 0x40008048u
#define CLK_PERI_FROM_SYS (1u << 11)
#define CLK_SYS_RESUS_CTRL 0x40008078u
#define CLK_DIV_BY_1 (1u << 8)

#define RESETS_RESET 0x4000C000u
#define RESETS_RESET_DONE 0x4000C008u
#define RESETS_IO_BANK0 (1u << 5)
#define RESETS_PADS_BANK0 (1u << 8)
#define RESETS_PLL_SYS (1u << 12)
#define RESETS_TIMER (1u << 21)
#define RESETS_UART0 (1u << 22)

#define IO_BANK0_GPIO0_CTRL 0x40014004u
#define IO_BANK0_GPIO1_CTRL 0x4001400Cu
#define GPIO_CTRL_UART 2u
#define PADS_BANK0_GPIO1 0x4001C008u
#define PAD_INPUT_PULL_UP 0x5Au  // input enabled, 4 mA, pull-up, Schmitt trigger

#define XOSC_CTRL 0x40024000u
#define XOSC_CTRL_ENABLE_1_15MHZ 0xFABAA0u
#define XOSC_STATUS 0x40024004u
#define XOSC_STATUS_STABLE (1u << 31)
#define XOSC_STARTUP 0x4002400Cu
#define XOSC_STARTUP_1MS (CRYSTAL_HZ / 1000u / 256u + 1u)

#define PLL_SYS_CS 0x40028000u
#define PLL_CS_LOCK (1u << 31)
#define PLL_SYS_PWR 0x40028004u
#define PLL_PWR_OFF 0x2Du
#define PLL_PWR_VCO_ON 0x0Cu  // DSMPD and POSTDIVPD stay set
#define PLL_PWR_ALL_ON 0x04u
#define PLL_SYS_FBDIV_INT 0x40028008u
#define PLL_SYS_PRIM 0x4002800Cu

// The VCO runs at 12 times the core clock: 1,596 MHz for 133 MHz.
#define POST_DIVIDER_1 6u
#define POST_DIVIDER_2 2u
#define FEEDBACK_DIVIDER (KG_CORE_HZ / (CRYSTAL_HZ / (POST_DIVIDER_1 * POST_DIVIDER_2)))
_Static_assert(KG_CORE_HZ >= 63000000u && KG_CORE_HZ <= 133000000u, "VCO: 750 to 1600 MHz");
_Static_assert(FEEDBACK_DIVIDER * 1000000u == KG_CORE_HZ, "the core clock is whole megahertz");

#define WATCHDOG_TICK 0x4005802Cu
#define WATCHDOG_TICK_1MHZ ((1u << 9) | (CRYSTAL_HZ / 1000000u))

#define UART_DR (KG_UART_BASE + 0x00u)
#define UART_FR (KG_UART_BASE + 0x18u)
#define UART_FR_RXFE (1u << 4)
#define UART_FR_TXFF (1u << 5)
#define UART_IBRD (KG_UART_BASE + 0x24u)
#define UART_FBRD (KG_UART_BASE + 0x28u)
#define UART_LCR_H (KG_UART_BASE + 0x2Cu)
#define UART_LCR_H_8N1_FIFO 0x70u
#define UART_CR (KG_UART_BASE + 0x30u)
#define UART_CR_ENABLE 0x301u  // UART, transmitter, receiver

// Clock cycles of a bit, in 64ths of 16 cycles, rounded.
#define BAUD_DIVIDER ((8u * (KG_CORE_HZ / KG_UART_BAUD) + 1u) / 2u)

static void leave_reset(uint32_t blocks) {
    kg_change(RESETS_RESET, blocks, 0);
    kg_await(RESETS_RESET_DONE, blocks, blocks);
}

static void start_crystal(void) {
    kg_put(CLK_SYS_RESUS_CTRL, 0);
    kg_put(XOSC_STARTUP, XOSC_STARTUP_1MS);
    kg_put(XOSC_CTRL, XOSC_CTRL_ENABLE_1_15MHZ);
    kg_await(XOSC_STATUS, XOSC_STATUS_STABLE, XOSC_STATUS_STABLE);
}

// A clock's source bits pick one bit of its SELECTED register.
static void select_clock(uint32_t control, uint32_t selected, uint32_t source) {
    kg_put(control, source);
    kg_await(selected, 1u << source, 1u << source);
}

static void start_pll(void) {
    kg_put(PLL_SYS_PWR, PLL_PWR_OFF);
    kg_put(PLL_SYS_CS, 1);
    kg_put(PLL_SYS_FBDIV_INT, FEEDBACK_DIVIDER);
    kg_put(PLL_SYS_PWR, PLL_PWR_VCO_ON);
    kg_await(PLL_SYS_CS, PLL_CS_LOCK, PLL_CS_LOCK);
    kg_put(PLL_SYS_PRIM, (POST_DIVIDER_1 << 16) | (POST_DIVIDER_2 << 12));
    kg_put(PLL_SYS_PWR, PLL_PWR_ALL_ON);
}

static void init_clocks(void) {
    start_crystal();
    select_clock(CLK_SYS_CTRL, CLK_SYS_SELECTED, CLK_SYS_FROM_REF);
    kg_put(CLK_REF_DIV, CLK_DIV_BY_1);
    select_clock(CLK_REF_CTRL, CLK_REF_SELECTED, CLK_REF_FROM_CRYSTAL);
    leave_reset(RESETS_PLL_SYS);
    start_pll();
    kg_put(CLK_SYS_DIV, CLK_DIV_BY_1);
    select_clock(CLK_SYS_CTRL, CLK_SYS_SELECTED, CLK_SYS_FROM_PLL);
    kg_put(CLK_PERI_CTRL, CLK_PERI_FROM_SYS);
    kg_put(WATCHDOG_TICK, WATCHDOG_TICK_1MHZ);  // clocks the microsecond timer
}

static void init_uart(void) {
    kg_put(PADS_BANK0_GPIO1, PAD_INPUT_PULL_UP);
    kg_put(UART_IBRD, BAUD_DIVIDER >> 6);
    kg_put(UART_FBRD, BAUD_DIVIDER & 63u);
    kg_put(UART_LCR_H, UART_LCR_H_8N1_FIFO);
    kg_put(UART_CR, UART_CR_ENABLE);
    kg_put(IO_BANK0_GPIO0_CTRL, GPIO_CTRL_UART);
    kg_put(IO_BANK0_GPIO1_CTRL, GPIO_CTRL_UART);
}

void kg_chip_init(void) {
    init_clocks();
    leave_reset(RESETS_IO_BANK0 | RESETS_PADS_BANK0 | RESETS_TIMER | RESETS_UART0);
    init_uart();
}

int kg_port_read(void) {
    while ((kg_get(UART_FR) & UART_FR_RXFE) != 0) {
    }
    return (int)(kg_get(UART_DR) & 0xFFu);
}

void kg_port_write(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        while ((kg_get(UART_FR) & UART_FR_TXFF) != 0) {
        }
        kg_put(UART_DR, data[i]);
    }
}
