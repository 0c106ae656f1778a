// SPDX-License-Identifier: Apache-2.0
// Cortex-M7: memory protection and caches (ARMv7-M Architecture Reference Manual, B2.2 and B3.5).
#ifndef KG_PORT_CORTEX_M_CORTEX_M7_H
#define KG_PORT_CORTEX_M_CORTEX_M7_H

#include <stdint.h>

#include "port/cortex_m/registers.h"

#define SCB_CCR 0xE000ED14u
#define SCB_CCR_DC (1u << 16)
#define SCB_CCR_IC (1u << 17)
#define SCB_CCSIDR 0xE000ED80u
#define SCB_CSSELR 0xE000ED84u
#define SCB_ICIALLU 0xE000EF50u
#define SCB_DCISW 0xE000EF60u

#define MPU_TYPE 0xE000ED90u
#define MPU_TYPE_REGIONS 0xFF00u
#define MPU_CTRL 0xE000ED94u
#define MPU_CTRL_ENABLE 1u
#define MPU_RBAR 0xE000ED9Cu
#define MPU_RBAR_VALID (1u << 4)
#define MPU_RASR 0xE000EDA0u
#define MPU_ENABLE 1u
#define MPU_XN (1u << 28)  // no code
#define MPU_READ_WRITE (3u << 24)
#define MPU_READ_ONLY (6u << 24)
#define MPU_CACHED (0xBu << 16)    // normal memory, write back, allocate on reads and writes
#define MPU_NOT_CACHED (8u << 16)  // normal memory
#define MPU_DEVICE (1u << 16)
#define MPU_SIZE(log2_bytes) (((log2_bytes) - 1u) << 1)

// A base address with its number, and attributes; a later region wins where two overlap.
static inline void kg_set_region(uint32_t number, uint32_t base, uint32_t attributes) {
    kg_put(MPU_RBAR, base | MPU_RBAR_VALID | number);
    kg_put(MPU_RASR, attributes | MPU_ENABLE);
}

// Size and shut eighths of a region that covers so many bytes: a power of two, or some eighths of
// it.
static inline uint32_t kg_cover(uint32_t bytes) {
    uint32_t log2 = 32u - (uint32_t)__builtin_clz(bytes - 1u);
    uint32_t open = bytes >> (log2 - 3u);
    return MPU_SIZE(log2) | (0xFFu << open & 0xFFu) << 8;
}

// Opens what a chip has and shuts the rest: the core reads ahead from any memory it may read, and a
// read of memory that is not there hangs the bus. It also turns a null pointer or a stack overflow
// into a fault.
static inline void kg_protect_memory(void) {
    if ((kg_get(MPU_TYPE) & MPU_TYPE_REGIONS) == 0) {
        return;
    }
    kg_put(MPU_CTRL, 0);
    kg_set_region(0, 0, MPU_SIZE(32u) | MPU_XN);
    kg_set_region(1, KG_FLASH_BASE, kg_cover(KG_FLASH_BYTES) | MPU_READ_ONLY | MPU_CACHED);
    kg_set_region(2, KG_RAM_BASE,
                  kg_cover(KG_RAM_BYTES) | MPU_READ_WRITE | MPU_NOT_CACHED | MPU_XN);
    kg_set_region(3, 0x40000000u, MPU_SIZE(29u) | MPU_READ_WRITE | MPU_DEVICE | MPU_XN);
    kg_set_region(4, 0xE0000000u, MPU_SIZE(29u) | MPU_READ_WRITE | MPU_XN);  // strongly ordered
#if KG_CODE_RAM_BYTES > 0
    kg_set_region(5, KG_CODE_RAM_BASE,
                  kg_cover(KG_CODE_RAM_BYTES) | MPU_READ_ONLY | MPU_NOT_CACHED);
#endif
#if KG_TENSOR_RAM_BYTES > 0
    kg_set_region(6, KG_TENSOR_RAM_BASE,
                  kg_cover(KG_TENSOR_RAM_BYTES) | MPU_READ_WRITE | MPU_CACHED | MPU_XN);
#endif
    kg_barrier();
    kg_put(MPU_CTRL, MPU_CTRL_ENABLE);
    kg_barrier();
}

// The data cache holds chance after power-up: every line is invalidated, by set and way.
static inline void kg_enable_data_cache(void) {
    if ((kg_get(SCB_CCR) & SCB_CCR_DC) != 0) {
        return;
    }
    kg_put(SCB_CSSELR, 0);
    kg_barrier();
    uint32_t geometry = kg_get(SCB_CCSIDR);
    uint32_t sets = (geometry >> 13) & 0x7FFFu;
    uint32_t ways = (geometry >> 3) & 0x3FFu;
    for (uint32_t set = 0; set <= sets; set++) {
        for (uint32_t way = 0; way <= ways; way++) {
            kg_put(SCB_DCISW, (way << 30) | (set << 5));  // 4 ways of 32-byte lines
        }
    }
    kg_barrier();
    kg_change(SCB_CCR, SCB_CCR_DC, SCB_CCR_DC);
    kg_barrier();
}

static inline void kg_enable_caches(void) {
    kg_put(SCB_ICIALLU, 0);
    kg_barrier();
    kg_change(SCB_CCR, SCB_CCR_IC, SCB_CCR_IC);
    kg_barrier();
    kg_enable_data_cache();
}

#endif
