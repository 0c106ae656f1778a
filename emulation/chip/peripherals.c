// SPDX-License-Identifier: Apache-2.0
// Finds the model of a peripheral by its Renode class, and maps it into the chip.
#include <string.h>

#include "internal.h"

static const struct {
    const char *name;
    kg_model_t create;
} MODELS[] = {
    {"IRQControllers.NVIC", kg_model_nvic},
    {"Memory.ArrayMemory", kg_model_stub},
    {"Miscellaneous.DWT", kg_model_dwt},
    {"UART.CMSDK_APB_UART", kg_model_uart_cmsdk},
    {"UART.NRF52840_UART", kg_model_uart_nrf52840},
    {"UART.NXP_LPUART", kg_model_uart_lpuart},
    {"UART.PL011", kg_model_uart_pl011},
    {"UART.STM32F7_USART", kg_model_uart_stm32},
    {"mps2_fpgaio", kg_model_mps2_fpgaio},
    {"rp2040_timer", kg_model_rp2040_timer},
};

#define MODEL_COUNT (sizeof MODELS / sizeof MODELS[0])
#define PAGE 4096u

const char *kg_chip_model(size_t index) {
    return index < MODEL_COUNT ? MODELS[index].name : NULL;
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned size, void *user) {
    (void)uc;
    kg_peripheral_t *self = user;
    uint32_t word = self->read(self, (uint32_t)offset & ~3u) >> 8 * (offset & 3);
    return size == 4 ? word : word & ((1u << 8 * size) - 1);
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *user) {
    (void)uc;
    (void)size;
    kg_peripheral_t *self = user;
    uint32_t word = (uint32_t)value << 8 * (offset & 3);
    self->write(self, (uint32_t)offset & ~3u, word);
    kg_switch_caches(self->chip, self->base + ((uint32_t)offset & ~3u), word);
}

static kg_peripheral_t *add(kg_chip_t *chip, kg_model_t create, uint32_t base, uint32_t size) {
    if (chip->peripheral_count == KG_PERIPHERALS) {
        return NULL;
    }
    kg_peripheral_t *self = &chip->peripherals[chip->peripheral_count++];
    self->chip = chip;
    self->base = base;
    self->size = (size + PAGE - 1) & ~(PAGE - 1);
    if (!create(self)) {
        return NULL;
    }
    uc_err error = uc_mmio_map(chip->uc, base, self->size, on_read, self, on_write, self);
    if (error == UC_ERR_OK) {
        // No permissions: see faults.c, on_memory.
        error = uc_mem_protect(chip->uc, base, self->size, UC_PROT_NONE);
    }
    return error == UC_ERR_OK ? self : NULL;
}

bool kg_chip_add(kg_chip_t *chip, const char *model, uint32_t base, uint32_t size) {
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        if (strcmp(MODELS[i].name, model) == 0) {
            return add(chip, MODELS[i].create, base, size) != NULL;
        }
    }
    return false;
}

bool kg_chip_add_stub(kg_chip_t *chip, uint32_t base, uint32_t size, const uint32_t *offsets,
                      const uint32_t *values, size_t count) {
    kg_peripheral_t *self = add(chip, kg_model_stub, base, size);
    for (size_t i = 0; self != NULL && i < count; i++) {
        kg_stub_ready(self, offsets[i], values[i]);
    }
    return self != NULL;
}
