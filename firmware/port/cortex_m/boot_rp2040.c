// SPDX-License-Identifier: Apache-2.0
// Second stage boot loader of the RP2040 (RP2040 datasheet, 2.8.1 and 4.10): lets the core run from
// flash.
//
// The boot ROM copies the first 256 bytes of flash to SRAM, checks the CRC-32 that the image tool
// writes into the last four, and jumps to the first. So the code must not depend on its address,
// and may call nothing.
#include <stdint.h>

#include "port/cortex_m/registers.h"

#define SSI_CTRLR0 0x18000000u
#define CTRLR0_QUAD_32_BITS ((2u << 21) | (31u << 16) | (3u << 8))  // TMOD 3: send, then read
#define SSI_CTRLR1 0x18000004u
#define SSI_SSIENR 0x18000008u
#define SSI_BAUDR 0x18000014u
#define BAUDR_BY_2 2u  // of 133 MHz
#define SSI_RX_SAMPLE_DLY 0x180000F0u
#define SSI_SPI_CTRLR0 0x180000F4u
// Command 6Bh, fast read with quad output: 8 bits of command and 24 (6 nibbles) of address on one
// line, 8 clocks of waiting, data on four lines.
#define SPI_CTRLR0_READ_6B ((0x6Bu << 24) | (8u << 11) | (2u << 8) | (6u << 2))

#define VECTOR_TABLE 0x10000100u
#define SCB_VTOR 0xE000ED08u

void kg_boot(void);

__attribute__((section(".boot"), used, noreturn)) void kg_boot(void) {
    kg_put(SSI_SSIENR, 0);
    kg_put(SSI_BAUDR, BAUDR_BY_2);
    kg_put(SSI_RX_SAMPLE_DLY, 1);
    kg_put(SSI_CTRLR0, CTRLR0_QUAD_32_BITS);
    kg_put(SSI_CTRLR1, 0);
    kg_put(SSI_SPI_CTRLR0, SPI_CTRLR0_READ_6B);
    kg_put(SSI_SSIENR, 1);
    kg_put(SCB_VTOR, VECTOR_TABLE);
    __asm__ volatile("msr msp, %0\n\tbx %1"
                     :
                     : "r"(kg_get(VECTOR_TABLE)), "r"(kg_get(VECTOR_TABLE + 4u)));
    __builtin_unreachable();
}
