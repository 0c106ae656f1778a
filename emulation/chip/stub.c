// SPDX-License-Identifier: Apache-2.0
// Registers that nothing models: they remember what is written, and their ready bits always read 1.
#include <stdlib.h>

#include "internal.h"

// Two words for each register: what was written, what is always set.
static uint32_t *word(kg_peripheral_t *self, uint32_t offset) {
    return (uint32_t *)self->state + 2 * (offset / 4);
}

static uint32_t read_stub(kg_peripheral_t *self, uint32_t offset) {
    return word(self, offset)[0] | word(self, offset)[1];
}

static void write_stub(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    word(self, offset)[0] = value;
}

bool kg_model_stub(kg_peripheral_t *self) {
    self->state = calloc(self->size / 4, 2 * sizeof(uint32_t));
    self->read = read_stub;
    self->write = write_stub;
    return self->state != NULL;
}

void kg_stub_ready(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    if (offset < self->size) {
        word(self, offset)[1] = value;
    }
}
