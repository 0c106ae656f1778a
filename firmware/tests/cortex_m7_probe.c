// SPDX-License-Identifier: Apache-2.0
// A main for tests of cortex_m7.h: protects memory, starts the caches, then reads what is shut: far
// away (x) or behind RAM (e); or RAM's last word (l).
#include <stdint.h>

#include "port/cortex_m/cortex_m7.h"
#include "port/kg_port.h"

#define SHUT 0x60000000u  // the MPS2 board has RAM there

int main(void);

int main(void) {
    kg_port_init();
    kg_protect_memory();
    kg_enable_caches();
    kg_port_write((const uint8_t *)"probe ready\n", 12);
    int where = kg_port_read();
    uint32_t end = KG_RAM_BASE + KG_RAM_BYTES;
    (void)kg_get(where == 'x' ? SHUT : where == 'e' ? end : end - 4u);
    kg_port_write((const uint8_t *)"read it\n", 8);
    return 0;
}
