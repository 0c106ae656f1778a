// SPDX-License-Identifier: Apache-2.0
// Arm PL011 UART (PrimeCell UART TRM DDI 0183, chapter 3). Bytes take no time on the wire.
#include <stdlib.h>

#include "internal.h"

enum { DR = 0x00, FR = 0x18, IBRD = 0x24, CR = 0x30, RIS = 0x3C, REGISTERS = 0x4C };

#define FR_RXFE (1u << 4)  // nothing received
#define FR_TXFE (1u << 7)  // all sent
#define CR_UARTEN (1u << 0)
#define CR_TXE (1u << 8)
#define CR_RXE (1u << 9)
#define RIS_RX (1u << 4)

static uint32_t *registers(kg_peripheral_t *self) {
    return self->state;
}

// Without a divisor the UART has no bit clock.
static bool enabled(kg_peripheral_t *self, uint32_t direction) {
    uint32_t needed = CR_UARTEN | direction;
    return (registers(self)[CR / 4] & needed) == needed && registers(self)[IBRD / 4] != 0;
}

static bool has_input(kg_peripheral_t *self) {
    return enabled(self, CR_RXE) && !kg_wire_empty(self->chip);
}

static uint32_t read_uart(kg_peripheral_t *self, uint32_t offset) {
    switch (offset) {
    case DR:
        return has_input(self) ? kg_wire_take(self->chip) : 0;
    case FR:
    case RIS:
        if (!has_input(self)) {
            kg_wire_idle_poll(self->chip);
            return offset == FR ? FR_TXFE | FR_RXFE : 0;
        }
        return offset == FR ? FR_TXFE : RIS_RX;
    default:
        return offset < REGISTERS ? registers(self)[offset / 4] : 0;
    }
}

static void write_uart(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    if (offset == DR) {
        if (enabled(self, CR_TXE)) {
            kg_wire_put(self->chip, (uint8_t)value);
        }
    } else if (offset < REGISTERS) {
        registers(self)[offset / 4] = value;
    }
}

bool kg_model_uart_pl011(kg_peripheral_t *self) {
    self->state = calloc(REGISTERS / 4, sizeof(uint32_t));
    self->read = read_uart;
    self->write = write_uart;
    return self->state != NULL;
}
