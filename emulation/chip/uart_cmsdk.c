// SPDX-License-Identifier: Apache-2.0
// APB UART of Arm's Cortex-M System Design Kit (DDI 0479, 4.3). Bytes take no time on the wire.
#include <stdlib.h>

#include "internal.h"

enum { DATA = 0x00, STATE = 0x04, CTRL = 0x08, BAUDDIV = 0x10, REGISTERS = 0x14 };

#define STATE_RX_FULL (1u << 1)
#define CTRL_TX (1u << 0)
#define CTRL_RX (1u << 1)
#define SMALLEST_DIVISOR 16u

static uint32_t *registers(kg_peripheral_t *self) {
    return self->state;
}

static bool enabled(kg_peripheral_t *self, uint32_t direction) {
    return (registers(self)[CTRL / 4] & direction) != 0 &&
           registers(self)[BAUDDIV / 4] >= SMALLEST_DIVISOR;
}

static bool has_input(kg_peripheral_t *self) {
    return enabled(self, CTRL_RX) && !kg_wire_empty(self->chip);
}

static uint32_t read_uart(kg_peripheral_t *self, uint32_t offset) {
    if (offset == DATA) {
        return has_input(self) ? kg_wire_take(self->chip) : 0;
    }
    if (offset == STATE) {
        if (has_input(self)) {
            return STATE_RX_FULL;
        }
        kg_wire_idle_poll(self->chip);
        return 0;
    }
    return offset < REGISTERS ? registers(self)[offset / 4] : 0;
}

static void write_uart(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    if (offset == DATA) {
        if (enabled(self, CTRL_TX)) {
            kg_wire_put(self->chip, (uint8_t)value);
        }
    } else if (offset < REGISTERS) {
        registers(self)[offset / 4] = value;
    }
}

bool kg_model_uart_cmsdk(kg_peripheral_t *self) {
    self->state = calloc(REGISTERS / 4, sizeof(uint32_t));
    self->read = read_uart;
    self->write = write_uart;
    return self->state != NULL;
}
