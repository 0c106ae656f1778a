// SPDX-License-Identifier: Apache-2.0
// USART and LPUART of newer STM32 (ST RM0432, chapters USART and LPUART). Bytes take no time on the
// wire.
#include <stdlib.h>

#include "internal.h"

enum { CR1 = 0x00, BRR = 0x0C, ISR = 0x1C, ICR = 0x20, RDR = 0x24, TDR = 0x28, REGISTERS = 0x30 };

#define CR1_ENABLED 1u
#define CR1_RE (1u << 2)
#define CR1_TE (1u << 3)
#define ISR_RXNE (1u << 5)
#define ISR_SENT (1u << 7 | 1u << 6)       // TXE, TC
#define ISR_ENABLED (1u << 22 | 1u << 21)  // REACK, TEACK

static uint32_t *registers(kg_peripheral_t *self) {
    return self->state;
}

// Without a divisor there is no clock.
static bool enabled(kg_peripheral_t *self, uint32_t direction) {
    uint32_t wanted = CR1_ENABLED | direction;
    return (registers(self)[CR1 / 4] & wanted) == wanted && registers(self)[BRR / 4] != 0;
}

static bool has_input(kg_peripheral_t *self) {
    return enabled(self, CR1_RE) && !kg_wire_empty(self->chip);
}

static uint32_t status(kg_peripheral_t *self) {
    uint32_t sent = enabled(self, CR1_TE) ? ISR_SENT | ISR_ENABLED : ISR_SENT;
    if (has_input(self)) {
        return sent | ISR_RXNE;
    }
    kg_wire_idle_poll(self->chip);
    return sent;
}

static uint32_t read_uart(kg_peripheral_t *self, uint32_t offset) {
    switch (offset) {
    case ISR:
        return status(self);
    case RDR:
        return has_input(self) ? kg_wire_take(self->chip) : 0;
    default:
        return offset < REGISTERS ? registers(self)[offset / 4] : 0;
    }
}

static void write_uart(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    if (offset == TDR) {
        if (enabled(self, CR1_TE)) {
            kg_wire_put(self->chip, (uint8_t)value);
        }
    } else if (offset < REGISTERS && offset != ISR && offset != ICR) {
        registers(self)[offset / 4] = value;
    }
}

bool kg_model_uart_stm32(kg_peripheral_t *self) {
    self->state = calloc(REGISTERS / 4, sizeof(uint32_t));
    self->read = read_uart;
    self->write = write_uart;
    return self->state != NULL;
}
