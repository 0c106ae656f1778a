// SPDX-License-Identifier: Apache-2.0
// nRF52840 UARTE with EasyDMA (nRF52840 PS, chapter UARTE). Bytes take no time on the wire.
#include <stdlib.h>

#include "internal.h"

enum {
    TASKS_STARTRX = 0x000,
    TASKS_STOPRX = 0x004,
    TASKS_STARTTX = 0x008,
    TASKS_STOPTX = 0x00C,
    TASKS_FLUSHRX = 0x02C,
    EVENTS_RXDRDY = 0x108,
    EVENTS_ENDRX = 0x110,
    EVENTS_TXDRDY = 0x11C,
    EVENTS_ENDTX = 0x120,
    EVENTS_RXTO = 0x144,
    EVENTS_RXSTARTED = 0x14C,
    EVENTS_TXSTARTED = 0x150,
    EVENTS_TXSTOPPED = 0x158,
    SHORTS = 0x200,
    INTENSET = 0x304,
    ENABLE = 0x500,
    RXD_PTR = 0x534,
    RXD_MAXCNT = 0x538,
    RXD_AMOUNT = 0x53C,
    TXD_PTR = 0x544,
    TXD_MAXCNT = 0x548,
    TXD_AMOUNT = 0x54C,
    REGISTERS = 0x570,
};

#define ENABLE_UARTE 8u
#define SHORT_ENDRX_STARTRX (1u << 5)

typedef struct {
    uint32_t words[REGISTERS / 4];
    bool receiving;
    uint32_t pointer, room;  // of the reception under way; RXD_PTR may already be the next one
} uarte_t;

static uint32_t *reg(kg_peripheral_t *self, uint32_t offset) {
    return &((uarte_t *)self->state)->words[offset / 4];
}

// EasyDMA reaches RAM only (PS, "EasyDMA": a pointer elsewhere is a HardFault or corrupts RAM).
static uint8_t *dma(kg_peripheral_t *self, uint32_t address, uint32_t bytes) {
    kg_memory_t *memory = kg_find_memory(self->chip, address, bytes);
    if (memory == NULL || !(memory->permissions & KG_ACCESS_WRITE)) {
        kg_fault(self->chip, KG_FAULT_DMA, address, bytes, 0);
        return NULL;
    }
    return memory->bytes + (address - memory->base);
}

static void start_rx(kg_peripheral_t *self) {
    uarte_t *uarte = self->state;
    uarte->receiving = true;
    uarte->pointer = *reg(self, RXD_PTR);
    uarte->room = *reg(self, RXD_MAXCNT);
    *reg(self, RXD_AMOUNT) = 0;
    *reg(self, EVENTS_RXSTARTED) = 1;
}

// Moves what the host has sent; a full buffer ends the reception.
static void receive(kg_peripheral_t *self) {
    uarte_t *uarte = self->state;
    while (uarte->receiving && *reg(self, RXD_AMOUNT) < uarte->room && !kg_wire_empty(self->chip)) {
        uint8_t *to = dma(self, uarte->pointer + *reg(self, RXD_AMOUNT), 1);
        if (to == NULL) {
            uarte->receiving = false;
            return;
        }
        *to = kg_wire_take(self->chip);
        *reg(self, RXD_AMOUNT) += 1;
        *reg(self, EVENTS_RXDRDY) = 1;
        if (*reg(self, RXD_AMOUNT) == uarte->room) {
            uarte->receiving = false;
            *reg(self, EVENTS_ENDRX) = 1;
            if (*reg(self, SHORTS) & SHORT_ENDRX_STARTRX) {
                uint32_t amount = *reg(self, RXD_AMOUNT);
                start_rx(self);
                *reg(self, RXD_AMOUNT) = amount;
                return;
            }
        }
    }
}

static void stop_rx(kg_peripheral_t *self) {
    uarte_t *uarte = self->state;
    if (uarte->receiving) {
        uarte->receiving = false;
        *reg(self, EVENTS_ENDRX) = 1;
    }
    *reg(self, EVENTS_RXTO) = 1;
}

static void transmit(kg_peripheral_t *self) {
    uint32_t bytes = *reg(self, TXD_MAXCNT);
    const uint8_t *from = bytes == 0 ? NULL : dma(self, *reg(self, TXD_PTR), bytes);
    *reg(self, EVENTS_TXSTARTED) = 1;
    if (bytes > 0 && from == NULL) {
        return;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        kg_wire_put(self->chip, from[i]);
    }
    *reg(self, TXD_AMOUNT) = bytes;
    *reg(self, EVENTS_TXDRDY) = bytes > 0;
    *reg(self, EVENTS_ENDTX) = 1;
}

static uint32_t read_uart(kg_peripheral_t *self, uint32_t offset) {
    if (offset >= REGISTERS) {
        return 0;
    }
    receive(self);
    bool polled = offset == EVENTS_ENDRX || offset == EVENTS_RXDRDY || offset == EVENTS_RXTO;
    if (polled && *reg(self, offset) == 0) {
        kg_wire_idle_poll(self->chip);
    }
    return *reg(self, offset);
}

static void run_task(kg_peripheral_t *self, uint32_t offset) {
    if (*reg(self, ENABLE) != ENABLE_UARTE) {
        return;
    }
    if (offset == TASKS_STARTRX) {
        start_rx(self);
        receive(self);
    } else if (offset == TASKS_STOPRX) {
        stop_rx(self);
    } else if (offset == TASKS_STARTTX) {
        transmit(self);
    } else if (offset == TASKS_STOPTX) {
        *reg(self, EVENTS_TXSTOPPED) = 1;
    } else if (offset == TASKS_FLUSHRX) {
        *reg(self, RXD_AMOUNT) = 0;
        *reg(self, EVENTS_ENDRX) = 1;
    }
}

static void write_uart(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    if (offset >= REGISTERS) {
        return;
    }
    if (offset <= TASKS_FLUSHRX) {
        if (value & 1) {
            run_task(self, offset);
        }
        return;
    }
    if (offset == INTENSET && value != 0) {
        kg_stop(self->chip, KG_INTERRUPTS);
    }
    *reg(self, offset) = value;
}

bool kg_model_uart_nrf52840(kg_peripheral_t *self) {
    self->state = calloc(1, sizeof(uarte_t));
    self->read = read_uart;
    self->write = write_uart;
    return self->state != NULL;
}
