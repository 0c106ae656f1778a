// SPDX-License-Identifier: Apache-2.0
// The counter of the MPS2 boards' FPGA block (Arm application note AN386, "FPGA system control").
#include "internal.h"

enum { COUNTER = 0x18 };

static uint32_t read_counter(kg_peripheral_t *self, uint32_t offset) {
    return offset == COUNTER ? (uint32_t)kg_now(self->chip) : 0;
}

// LEDs, switches and the prescaler are not modelled.
static void write_nothing(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    (void)self;
    (void)offset;
    (void)value;
}

bool kg_model_mps2_fpgaio(kg_peripheral_t *self) {
    self->read = read_counter;
    self->write = write_nothing;
    return true;
}
