// SPDX-License-Identifier: Apache-2.0
// ST STM32L4R5 (RM0432): 120 MHz from the internal 16 MHz oscillator, flash with its caches,
// LPUART1 on PG7 (TX) and PG8 (RX), where the NUCLEO-L4R5ZI has its USB serial port.
#include <stddef.h>
#include <stdint.h>

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"
#include "port/kg_port.h"

#define PWR_CR2 0x40007004u
#define PWR_CR2_IOSV (1u << 9)  // VDDIO2, which supplies port G, is there
#define PWR_CR5 0x40007080u
#define PWR_CR5_R1MODE (1u << 8)  // 0: range 1 boost, for more than 80 MHz

#define RCC_CR 0x40021000u
#define CR_HSION (1u << 8)
#define CR_HSIRDY (1u << 10)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define RCC_CFGR 0x40021008u
#define CFGR_SW 3u
#define CFGR_SWS (3u << 2)
#define CFGR_SW_PLL 3u
#define CFGR_SWS_PLL (3u << 2)
#define CFGR_HPRE (15u << 4)
#define CFGR_HPRE_BY_2 (8u << 4)
#define RCC_PLLCFGR 0x4002100Cu
#define PLLCFGR_FROM_HSI 2u
#define PLLCFGR_M(divider) (((divider) - 1u) << 4)
#define PLLCFGR_N(factor) ((factor) << 8)
#define PLLCFGR_R_BY_2 (1u << 24)
#define RCC_AHB2ENR 0x4002104Cu
#define AHB2ENR_GPIOG (1u << 6)
#define RCC_APB1ENR1 0x40021058u
#define APB1ENR1_PWR (1u << 28)
#define RCC_APB1ENR2 0x4002105Cu
#define APB1ENR2_LPUART1 1u
#define RCC_CCIPR 0x40021088u
#define CCIPR_LPUART1 (3u << 10)
#define CCIPR_LPUART1_FROM_HSI (2u << 10)

// 16 MHz / 4 * N / 2.
#define PLL_N (KG_CORE_HZ / 2000000u)
_Static_assert(KG_CORE_HZ > 100000000u && KG_CORE_HZ <= 120000000u,
               "other clocks need other wait states and voltage");
_Static_assert(PLL_N * 2000000u == KG_CORE_HZ, "the core clock comes in steps of 2 MHz");

#define FLASH_ACR 0x40022000u
#define ACR_LATENCY 15u
#define ACR_5_WAIT_STATES 5u
#define ACR_PREFETCH_AND_CACHES (7u << 8)  // PRFTEN, ICEN, DCEN

#define GPIOG 0x48001800u
#define MODER (GPIOG + 0x00u)
#define PUPDR (GPIOG + 0x0Cu)
#define AFRL (GPIOG + 0x20u)
#define AFRH (GPIOG + 0x24u)
#define MODE_7_8 (15u << 14)
#define MODE_7_8_ALTERNATE (10u << 14)
#define PULL_8 (3u << 16)
#define PULL_8_UP (1u << 16)
#define FUNCTION_LPUART1 8u

#define UART_CR1 (KG_UART_BASE + 0x00u)
#define CR1_ENABLE ((1u << 3) | (1u << 2) | 1u)  // transmitter, receiver, UART
#define UART_BRR (KG_UART_BASE + 0x0Cu)
#define UART_ISR (KG_UART_BASE + 0x1Cu)
#define ISR_RXNE (1u << 5)
#define ISR_TXE (1u << 7)
#define ISR_OVERRUN (1u << 3)
#define UART_ICR (KG_UART_BASE + 0x20u)
#define UART_RDR (KG_UART_BASE + 0x24u)
#define UART_TDR (KG_UART_BASE + 0x28u)
#define HSI_HZ 16000000u
#define BAUD_DIVIDER ((HSI_HZ * 256u + KG_UART_BAUD / 2u) / KG_UART_BAUD)
_Static_assert(HSI_HZ >= 3u * KG_UART_BAUD, "the UART needs three clocks for a bit");

static void prepare_flash(void) {
    kg_put(FLASH_ACR, ACR_PREFETCH_AND_CACHES | ACR_5_WAIT_STATES);
    kg_await(FLASH_ACR, ACR_LATENCY, ACR_5_WAIT_STATES);
}

// The manual wants a microsecond at half speed between 80 MHz and more.
static void run_from_pll(void) {
    kg_change(RCC_CR, CR_HSION, CR_HSION);
    kg_await(RCC_CR, CR_HSIRDY, CR_HSIRDY);
    kg_put(RCC_PLLCFGR, PLLCFGR_FROM_HSI | PLLCFGR_M(4u) | PLLCFGR_N(PLL_N) | PLLCFGR_R_BY_2);
    kg_change(RCC_CR, CR_PLLON, CR_PLLON);
    kg_await(RCC_CR, CR_PLLRDY, CR_PLLRDY);
    kg_change(RCC_CFGR, CFGR_HPRE | CFGR_SW, CFGR_HPRE_BY_2 | CFGR_SW_PLL);
    kg_await(RCC_CFGR, CFGR_SWS, CFGR_SWS_PLL);
    for (uint32_t reads = KG_CORE_HZ / 2000000u; reads > 0; reads--) {
        (void)kg_get(RCC_CFGR);
    }
    kg_change(RCC_CFGR, CFGR_HPRE, 0);
}

static void init_pins(void) {
    kg_change(RCC_AHB2ENR, AHB2ENR_GPIOG, AHB2ENR_GPIOG);
    kg_change(PWR_CR2, PWR_CR2_IOSV, PWR_CR2_IOSV);
    kg_change(AFRL, 15u << 28, FUNCTION_LPUART1 << 28);
    kg_change(AFRH, 15u, FUNCTION_LPUART1);
    kg_change(PUPDR, PULL_8, PULL_8_UP);
    kg_change(MODER, MODE_7_8, MODE_7_8_ALTERNATE);
}

static void init_uart(void) {
    kg_change(RCC_CCIPR, CCIPR_LPUART1, CCIPR_LPUART1_FROM_HSI);
    kg_change(RCC_APB1ENR2, APB1ENR2_LPUART1, APB1ENR2_LPUART1);
    kg_put(UART_CR1, 0);
    kg_put(UART_BRR, BAUD_DIVIDER);
    kg_put(UART_CR1, CR1_ENABLE);
}

void kg_chip_init(void) {
    kg_change(RCC_APB1ENR1, APB1ENR1_PWR, APB1ENR1_PWR);
    (void)kg_get(RCC_APB1ENR1);  // a peripheral's clock needs two cycles
    kg_change(PWR_CR5, PWR_CR5_R1MODE, 0);
    prepare_flash();
    run_from_pll();
    init_pins();
    init_uart();
}

int kg_port_read(void) {
    uint32_t status;
    while (((status = kg_get(UART_ISR)) & ISR_RXNE) == 0) {
        if ((status & ISR_OVERRUN) != 0) {
            kg_put(UART_ICR, ISR_OVERRUN);  // a lost byte: without this the receiver stays shut
        }
    }
    return (int)(kg_get(UART_RDR) & 0xFFu);
}

void kg_port_write(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        while ((kg_get(UART_ISR) & ISR_TXE) == 0) {
        }
        kg_put(UART_TDR, data[i]);
    }
}
