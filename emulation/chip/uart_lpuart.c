// SPDX-License-Identifier: Apache-2.0
// NXP LPUART (i.MX RT1060 Reference Manual, chapter LPUART). Bytes take no time on the wire.
#include <stdlib.h>

#include "internal.h"

enum { STAT = 0x14, CTRL = 0x18, DATA = 0x1C, FIFO = 0x28, WATER = 0x2C, REGISTERS = 0x30 };

#define STAT_SENT (1u << 23 | 1u << 22)  // TDRE, TC
#define STAT_RDRF (1u << 21)
#define CTRL_TE (1u << 19)
#define CTRL_RE (1u << 18)
#define DATA_RXEMPT (1u << 12)
#define FIFO_EMPTY_TX (1u << 23)
#define FIFO_EMPTY_RX (1u << 22)
#define WATER_ONE_RECEIVED (1u << 24)

static uint32_t *registers(kg_peripheral_t *self) {
    return self->state;
}

static bool has_input(kg_peripheral_t *self) {
    return (registers(self)[CTRL / 4] & CTRL_RE) && !kg_wire_empty(self->chip);
}

// Reads one of the registers that tell whether something was received.
static uint32_t poll(kg_peripheral_t *self, uint32_t received, uint32_t empty) {
    if (has_input(self)) {
        return received;
    }
    kg_wire_idle_poll(self->chip);
    return empty;
}

static uint32_t read_uart(kg_peripheral_t *self, uint32_t offset) {
    switch (offset) {
    case STAT:
        return STAT_SENT | poll(self, STAT_RDRF, 0);
    case DATA:
        return has_input(self) ? kg_wire_take(self->chip) : DATA_RXEMPT;
    case FIFO:
        return registers(self)[FIFO / 4] | FIFO_EMPTY_TX | poll(self, 0, FIFO_EMPTY_RX);
    case WATER:
        return registers(self)[WATER / 4] | poll(self, WATER_ONE_RECEIVED, 0);
    default:
        return offset < REGISTERS ? registers(self)[offset / 4] : 0;
    }
}

static void write_uart(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    if (offset == DATA) {
        if (registers(self)[CTRL / 4] & CTRL_TE) {
            kg_wire_put(self->chip, (uint8_t)value);
        }
    } else if (offset < REGISTERS && offset != STAT) {
        registers(self)[offset / 4] = value;
    }
}

bool kg_model_uart_lpuart(kg_peripheral_t *self) {
    self->state = calloc(REGISTERS / 4, sizeof(uint32_t));
    self->read = read_uart;
    self->write = write_uart;
    return self->state != NULL;
}
