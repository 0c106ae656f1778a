// SPDX-License-Identifier: Apache-2.0
// A main for tests of cortex_m7.h: protects memory, starts the caches, then reads what is shut.
#include <stdint.h>

#include "port/cortex_m/cortex_m7.h"
#include "port/kg_port.h"

#define SHUT 0x60000000u  // the MPS2 board has RAM there

int main(void);

int main(void) {
    kg_port_init();
    kg_protect_memory(KG_FLASH_BASE, KG_FLASH_BYTES, KG_RAM_BASE, KG_RAM_BYTES);
    kg_enable_caches();
    kg_port_write((const uint8_t *)"probe ready\n", 12);
    (void)kg_port_read();
    (void)kg_get(SHUT);
    kg_port_write((const uint8_t *)"read it\n", 8);
    return 0;
}
