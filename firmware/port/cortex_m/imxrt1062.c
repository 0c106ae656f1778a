// SPDX-License-Identifier: Apache-2.0
// NXP i.MX RT1062 (i.MX RT1060 reference manual): FlexRAM as DTCM, and as ITCM where code runs from
// it, 600 MHz, caches, LPUART6 on the Teensy 4.1's pins 1 (TX) and 0 (RX).
#include <stddef.h>
#include <stdint.h>

#include "port/cortex_m/chip.h"
#include "port/cortex_m/cortex_m7.h"
#include "port/cortex_m/registers.h"
#include "port/kg_port.h"

#define DCDC_REG0 0x40080000u
#define DCDC_REG0_STS_DC_OK (1u << 31)
#define DCDC_REG3 0x4008000Cu
#define DCDC_REG3_TRG 0x1Fu
#define DCDC_1250_MV ((1250u - 800u) / 25u)

#define IOMUXC_GPR 0x400AC000u
#define GPR14 0x38  // sizes: DTCM in bits 23:20, ITCM in bits 19:16
#define GPR14_TCM_SIZES 0xFF0000
#define GPR14_DTCM_512K 0xA00000
#define GPR14_ITCM(log2_bytes) (((log2_bytes) - 9) << 16)  // 32 KB: 6, 64 KB: 7, ... 512 KB: 10
#define GPR16 0x40  // bit 2: banks as in GPR17, bit 1: DTCM on, bit 0: ITCM on
#define GPR16_FLEXRAM 7
#define GPR16_BANKS_FROM_GPR17_DTCM_ON 6
#define GPR16_ITCM_ON 1
#define GPR17 0x44  // two bits for each of 16 banks of 32 KB: 2 is DTCM, 3 is ITCM
#define ITCM_BANKS (KG_CODE_RAM_BYTES / 32768u)
#define GPR17_BANKS (0xAAAAAAAAu | ((1u << 2u * ITCM_BANKS) - 1u))
_Static_assert(KG_RAM_BYTES + KG_CODE_RAM_BYTES >= 512u * 1024u, "every FlexRAM bank is a TCM");
#if KG_CODE_RAM_BYTES > 0
#define ITCM_LOG2 (31 - __builtin_clz(KG_CODE_RAM_BYTES))
_Static_assert(KG_CODE_RAM_BASE == 0 && KG_CODE_RAM_BYTES == 1u << ITCM_LOG2, "as GPR14 wants it");
#define GPR14_SIZES (GPR14_DTCM_512K | GPR14_ITCM(ITCM_LOG2))
#define GPR16_BANKS (GPR16_BANKS_FROM_GPR17_DTCM_ON | GPR16_ITCM_ON)
#else
#define GPR14_SIZES GPR14_DTCM_512K
#define GPR16_BANKS GPR16_BANKS_FROM_GPR17_DTCM_ON
#endif

#define PLL_ARM 0x400D8000u
#define PLL_ARM_LOCK (1u << 31)
#define PLL_ARM_ENABLE (1u << 13)
#define PLL_ARM_POWERDOWN (1u << 12)
// The PLL runs at 12 MHz times this, the core at half of it.
#define PLL_ARM_DIVIDER (KG_CORE_HZ / 6000000u)
_Static_assert(KG_CORE_HZ >= 528000000u && KG_CORE_HZ <= 600000000u,
               "other clocks need other dividers and voltage");
_Static_assert(PLL_ARM_DIVIDER * 6000000u == KG_CORE_HZ, "the core clock comes in steps of 6 MHz");

#define CCM_CACRR 0x400FC010u
#define CCM_CACRR_ARM_BY_2 1u
#define CCM_CBCDR 0x400FC014u
#define CBCDR_PERIPH_CLK2_PODF (7u << 27)
#define CBCDR_PERIPH_CLK_SEL (1u << 25)
#define CBCDR_AHB_IPG_PODF ((7u << 10) | (3u << 8))
#define CBCDR_AHB_BY_1_IPG_BY_4 (3u << 8)
#define CCM_CBCMR 0x400FC018u
#define CBCMR_PRE_PERIPH_CLK_SEL (3u << 18)
#define CBCMR_PRE_PERIPH_ARM_PLL (3u << 18)
#define CBCMR_PERIPH_CLK2_SEL (3u << 12)
#define CBCMR_PERIPH_CLK2_CRYSTAL (1u << 12)
#define CCM_CSCDR1 0x400FC024u
#define CSCDR1_UART 0x7Fu
#define CSCDR1_UART_FROM_CRYSTAL (1u << 6)
#define CCM_CDHIPR 0x400FC048u
#define CDHIPR_BUSY 0x1002Bu  // any clock multiplexer or divider that is changing
#define CCM_CCGR3 0x400FC074u
#define CCGR3_LPUART6 (3u << 6)
#define CCM_CCGR6 0x400FC080u
#define CCGR6_DCDC (3u << 6)

#define MUX_GPIO_AD_B0_02 0x401F80C4u
#define MUX_GPIO_AD_B0_03 0x401F80C8u
#define MUX_LPUART6 2u
#define PAD_GPIO_AD_B0_02 0x401F82B4u
#define PAD_GPIO_AD_B0_03 0x401F82B8u
#define PAD_TX 0xD9u     // fast slew, drive 3, fast: an output
#define PAD_RX 0x1F038u  // hysteresis, pull-up of 22 kOhm, drive 7
#define SELECT_LPUART6_RX 0x401F8550u
#define SELECT_LPUART6_TX 0x401F8554u

#define UART_BAUD (KG_UART_BASE + 0x10u)
#define UART_STAT (KG_UART_BASE + 0x14u)
#define UART_STAT_TDRE (1u << 23)
#define UART_STAT_RDRF (1u << 21)
#define UART_STAT_OR (1u << 19)
#define UART_CTRL (KG_UART_BASE + 0x18u)
#define UART_CTRL_TE_RE (3u << 18)
#define UART_DATA (KG_UART_BASE + 0x1Cu)
#define UART_FIFO (KG_UART_BASE + 0x28u)
#define UART_FIFO_TXFE_RXFE 0x88u
#define UART_WATER (KG_UART_BASE + 0x2Cu)

// Eight samples a bit divide the 24 MHz crystal well: 115,384 for 115,200; 1,000,000 exactly.
#define CRYSTAL_HZ 24000000u
#define SAMPLES 8u
#define BAUD_DIVIDER ((CRYSTAL_HZ / SAMPLES + KG_UART_BAUD / 2u) / KG_UART_BAUD)
#define UART_BAUD_8_SAMPLES ((SAMPLES - 1u) << 24)

// Runs before RAM holds anything, as the banks change places here; in assembly, because a compiler
// might use the stack.
__attribute__((naked)) void kg_chip_reset(void) {
    __asm__ volatile(
        "ldr r0, =%c[gpr]\n\t"
        "ldr r1, =%c[used]\n\t"
        "str r1, [r0, %[gpr17]]\n\t"
        "ldr r1, [r0, %[gpr16]]\n\t"
        "bic r1, r1, %[flexram]\n\t"
        "orr r1, r1, %[banks]\n\t"
        "str r1, [r0, %[gpr16]]\n\t"
        "ldr r1, [r0, %[gpr14]]\n\t"
        "bic r1, r1, %[sizes]\n\t"
        "orr r1, r1, %[tcm]\n\t"
        "str r1, [r0, %[gpr14]]\n\t"
        "dsb\n\t"
        "isb\n\t"
        "bx lr\n\t"
        ".ltorg"
        :
        : [gpr] "i"(IOMUXC_GPR), [used] "i"(GPR17_BANKS), [gpr14] "i"(GPR14), [gpr16] "i"(GPR16),
          [gpr17] "i"(GPR17), [flexram] "i"(GPR16_FLEXRAM), [banks] "i"(GPR16_BANKS),
          [sizes] "i"(GPR14_TCM_SIZES), [tcm] "i"(GPR14_SIZES));
}

static void raise_voltage(void) {
    kg_change(CCM_CCGR6, CCGR6_DCDC, CCGR6_DCDC);
    kg_change(DCDC_REG3, DCDC_REG3_TRG, DCDC_1250_MV);
    kg_await(DCDC_REG0, DCDC_REG0_STS_DC_OK, DCDC_REG0_STS_DC_OK);
}

static void run_from_crystal(void) {
    kg_change(CCM_CBCDR, CBCDR_PERIPH_CLK2_PODF, 0);
    kg_change(CCM_CBCMR, CBCMR_PERIPH_CLK2_SEL, CBCMR_PERIPH_CLK2_CRYSTAL);
    kg_await(CCM_CDHIPR, CDHIPR_BUSY, 0);
    kg_change(CCM_CBCDR, CBCDR_PERIPH_CLK_SEL, CBCDR_PERIPH_CLK_SEL);
    kg_await(CCM_CDHIPR, CDHIPR_BUSY, 0);
}

static void run_from_pll(void) {
    kg_put(PLL_ARM, PLL_ARM_POWERDOWN);
    kg_put(PLL_ARM, PLL_ARM_ENABLE | PLL_ARM_DIVIDER);
    kg_await(PLL_ARM, PLL_ARM_LOCK, PLL_ARM_LOCK);
    kg_put(CCM_CACRR, CCM_CACRR_ARM_BY_2);
    kg_change(CCM_CBCDR, CBCDR_AHB_IPG_PODF, CBCDR_AHB_BY_1_IPG_BY_4);
    kg_change(CCM_CBCMR, CBCMR_PRE_PERIPH_CLK_SEL, CBCMR_PRE_PERIPH_ARM_PLL);
    kg_await(CCM_CDHIPR, CDHIPR_BUSY, 0);
    kg_change(CCM_CBCDR, CBCDR_PERIPH_CLK_SEL, 0);
    kg_await(CCM_CDHIPR, CDHIPR_BUSY, 0);
}

static void init_uart(void) {
    kg_change(CCM_CSCDR1, CSCDR1_UART, CSCDR1_UART_FROM_CRYSTAL);
    kg_change(CCM_CCGR3, CCGR3_LPUART6, CCGR3_LPUART6);
    kg_put(MUX_GPIO_AD_B0_02, MUX_LPUART6);
    kg_put(PAD_GPIO_AD_B0_02, PAD_TX);
    kg_put(SELECT_LPUART6_TX, 1);
    kg_put(MUX_GPIO_AD_B0_03, MUX_LPUART6);
    kg_put(PAD_GPIO_AD_B0_03, PAD_RX);
    kg_put(SELECT_LPUART6_RX, 1);
    kg_put(UART_CTRL, 0);
    kg_put(UART_BAUD, UART_BAUD_8_SAMPLES | BAUD_DIVIDER);
    kg_put(UART_WATER, 0);
    kg_put(UART_FIFO, UART_FIFO_TXFE_RXFE);
    kg_put(UART_CTRL, UART_CTRL_TE_RE);
}

void kg_chip_init(void) {
    raise_voltage();
    run_from_crystal();
    run_from_pll();
    kg_protect_memory();
    kg_enable_caches();
    init_uart();
}

int kg_port_read(void) {
    while ((kg_get(UART_STAT) & UART_STAT_RDRF) == 0) {
        if ((kg_get(UART_STAT) & UART_STAT_OR) != 0) {
            kg_put(UART_STAT, UART_STAT_OR);  // a lost byte: without this the receiver stays shut
        }
    }
    return (int)(kg_get(UART_DATA) & 0xFFu);
}

void kg_port_write(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        while ((kg_get(UART_STAT) & UART_STAT_TDRE) == 0) {
        }
        kg_put(UART_DATA, data[i]);
    }
}
