// SPDX-License-Identifier: Apache-2.0
// Data Watchpoint and Trace: CYCCNT reads the modelled cycle count (ARMv7-M ARM, C1.8).
#include <stdlib.h>

#include "internal.h"

enum { CTRL = 0x000, CYCCNT = 0x004 };

#define CYCCNTENA 1u
#define FOUR_COMPARATORS 0x40000000u

typedef struct {
    bool runs;
    uint32_t value;  // while it stands still
    uint64_t start;  // while it runs: the cycle at which it would have been 0
} dwt_t;

static uint32_t count(const kg_peripheral_t *self) {
    const dwt_t *dwt = self->state;
    return dwt->runs ? (uint32_t)(kg_now(self->chip) - dwt->start) : dwt->value;
}

static void set(kg_peripheral_t *self, uint32_t value, bool runs) {
    dwt_t *dwt = self->state;
    dwt->value = value;
    dwt->runs = runs;
    dwt->start = kg_now(self->chip) - value;
}

static uint32_t read_dwt(kg_peripheral_t *self, uint32_t offset) {
    const dwt_t *dwt = self->state;
    switch (offset) {
    case CTRL:
        return FOUR_COMPARATORS | (dwt->runs ? CYCCNTENA : 0);
    case CYCCNT:
        return count(self);
    default:
        return 0;
    }
}

// Without DEMCR.TRCENA the block has no clock: writes are lost.
static void write_dwt(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    if (!self->chip->trace_enabled) {
        return;
    }
    if (offset == CTRL) {
        set(self, count(self), value & CYCCNTENA);
    } else if (offset == CYCCNT) {
        set(self, value, ((dwt_t *)self->state)->runs);
    }
}

bool kg_model_dwt(kg_peripheral_t *self) {
    self->state = calloc(1, sizeof(dwt_t));
    self->read = read_dwt;
    self->write = write_dwt;
    return self->state != NULL;
}
