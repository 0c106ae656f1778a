// SPDX-License-Identifier: Apache-2.0
// Creates a virtual chip, maps its memory, resets and runs it.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define PAGE 4096u
#define FAULT_BUDGET 50000000u  // cycles that a HardFault handler may take for its report
#define JIT_BYTES (32u << 20)

static bool open_core(kg_chip_t *chip) {
    if (uc_open(UC_ARCH_ARM, UC_MODE_THUMB, &chip->uc) != UC_ERR_OK) {
        return false;
    }
    return uc_ctl_set_cpu_model(chip->uc, chip->settings.cpu_model) == UC_ERR_OK &&
           uc_ctl_set_tcg_buffer_size(chip->uc, JIT_BYTES) == UC_ERR_OK &&
           kg_add_hook(chip, UC_HOOK_BLOCK, (void *)(uintptr_t)kg_block_hook, 0, UINT32_MAX);
}

bool kg_add_hook(kg_chip_t *chip, int type, void *callback, uint32_t first, uint32_t last) {
    uc_hook hook;
    uc_err error =
        uc_hook_add(chip->uc, &hook, type, callback, chip, (uint64_t)first, (uint64_t)last);
    return error == UC_ERR_OK;
}

uint64_t kg_chip_layout(void) {
    return (uint64_t)sizeof(kg_settings_t) << 48 | (uint64_t)sizeof(kg_state_t) << 32 |
           (uint64_t)sizeof(kg_row_t) << 16 | sizeof(kg_cost_t);
}

kg_chip_t *kg_chip_create(const kg_settings_t *settings) {
    kg_chip_t *chip = calloc(1, sizeof *chip);
    if (chip == NULL) {
        return NULL;
    }
    chip->settings = *settings;
    chip->blocks = calloc(KG_BLOCKS + 1, sizeof *chip->blocks);
    chip->steps = calloc(KG_STEPS, sizeof *chip->steps);
    chip->literals = calloc(KG_LITERALS, sizeof *chip->literals);
    chip->variable = calloc(KG_VARIABLE, sizeof *chip->variable);
    if (settings->fetch.targets > 0) {
        chip->targets = calloc(settings->fetch.targets, sizeof *chip->targets);
    }
    bool made = chip->blocks != NULL && chip->steps != NULL && chip->variable != NULL;
    if (!made || chip->literals == NULL || !open_core(chip)) {
        kg_chip_destroy(chip);
        return NULL;
    }
    chip->block = &chip->blocks[KG_BLOCKS];
    return chip;
}

void kg_chip_destroy(kg_chip_t *chip) {
    if (chip == NULL) {
        return;
    }
    if (chip->uc != NULL) {
        uc_close(chip->uc);
    }
    for (size_t i = 0; i < chip->memory_count; i++) {
        if (chip->memories[i].owned) {
            free(chip->memories[i].bytes);
        }
    }
    for (size_t i = 0; i < chip->peripheral_count; i++) {
        free(chip->peripherals[i].state);
    }
    kg_wire_free(chip);
    kg_free_caches(chip);
    kg_free_profile(chip);
    kg_free_watch(chip);
    kg_free_trace(chip);
    free(chip->blocks);
    free(chip->steps);
    free(chip->variable);
    free(chip->literals);
    free(chip->targets);
    free(chip);
}

static bool map_bytes(kg_chip_t *chip, kg_memory_t memory) {
    if (chip->memory_count == KG_MEMORIES || memory.bytes == NULL) {
        return false;
    }
    uint32_t protection = UC_PROT_READ;
    protection |= memory.permissions & KG_ACCESS_WRITE ? UC_PROT_WRITE : 0u;
    protection |= memory.permissions & KG_ACCESS_EXECUTE ? UC_PROT_EXEC : 0u;
    chip->memories[chip->memory_count++] = memory;
    uc_err error = uc_mem_map_ptr(chip->uc, memory.base, memory.size, protection, memory.bytes);
    return error == UC_ERR_OK;
}

bool kg_chip_map(kg_chip_t *chip, uint32_t base, uint32_t size, uint32_t permissions) {
    if (size == 0 || size % PAGE != 0 || base % PAGE != 0) {
        return false;
    }
    return map_bytes(chip, (kg_memory_t){base, size, permissions, calloc(1, size), true});
}

bool kg_chip_alias(kg_chip_t *chip, uint32_t base, uint32_t alias) {
    kg_memory_t *memory = kg_find_memory(chip, base, 1);
    if (memory == NULL || memory->base != base) {
        return false;
    }
    kg_memory_t second = *memory;
    second.base = alias;
    second.owned = false;
    return map_bytes(chip, second);
}

kg_memory_t *kg_find_memory(kg_chip_t *chip, uint32_t address, uint32_t bytes) {
    for (size_t i = 0; i < chip->memory_count; i++) {
        kg_memory_t *memory = &chip->memories[i];
        uint32_t offset = address - memory->base;
        if (offset < memory->size && bytes <= memory->size - offset) {
            return memory;
        }
    }
    return NULL;
}

bool kg_chip_poke(kg_chip_t *chip, uint32_t address, const uint8_t *data, uint32_t bytes) {
    kg_memory_t *memory = kg_find_memory(chip, address, bytes);
    if (memory == NULL) {
        return false;
    }
    memcpy(memory->bytes + (address - memory->base), data, bytes);
    return true;
}

bool kg_chip_peek(kg_chip_t *chip, uint32_t address, uint8_t *data, uint32_t bytes) {
    kg_memory_t *memory = kg_find_memory(chip, address, bytes);
    if (memory == NULL) {
        return false;
    }
    memcpy(data, memory->bytes + (address - memory->base), bytes);
    return true;
}

uint32_t kg_register(kg_chip_t *chip, int id) {
    uint32_t value = 0;
    uc_reg_read(chip->uc, id, &value);
    return value;
}

bool kg_chip_reset(kg_chip_t *chip) {
    uint8_t table[8] = {0};
    chip->watched = chip->watched || kg_watch_faults(chip);
    chip->vector_table = chip->settings.vector_table;
    kg_chip_peek(chip, chip->vector_table, table, sizeof table);
    uint32_t start;
    memcpy(&chip->initial_sp, table, 4);
    memcpy(&start, table + 4, 4);
    uc_reg_write(chip->uc, UC_ARM_REG_SP, &chip->initial_sp);
    uint32_t no_return = 0xFFFFFFFFu;
    uc_reg_write(chip->uc, UC_ARM_REG_LR, &no_return);
    chip->state.pc = start;  // bit 0 is the Thumb bit
    return chip->watched;
}

void kg_set_horizon(kg_chip_t *chip) {
    bool watched = chip->profile != NULL || chip->watch != NULL || chip->trace != NULL;
    chip->horizon = watched || chip->stopping ? 0 : chip->limit;
}

// A stop inside a block repeats the instruction if it is a store, so peripherals only ask for one.
void kg_stop(kg_chip_t *chip, kg_reason_t reason) {
    if (chip->wish == KG_SLICE) {
        chip->wish = reason;
        chip->limit = 0;
        kg_set_horizon(chip);
    }
}

void kg_stop_now(kg_chip_t *chip, kg_reason_t reason) {
    if (!chip->stopping) {
        chip->stopping = true;
        chip->state.reason = reason;
        kg_set_horizon(chip);
        uc_emu_stop(chip->uc);
    }
}

static void set_limit(kg_chip_t *chip, uint64_t cycles) {
    chip->limit = chip->state.cycles + cycles;
    chip->wish = KG_SLICE;
}

// Runs until something stops it. Returns true if it is to go on: in the firmware's fault handler,
// or with code that is to be translated again.
static bool run_once(kg_chip_t *chip) {
    chip->stopping = false;
    kg_set_horizon(chip);
    uc_err error = uc_emu_start(chip->uc, chip->state.pc, UINT64_MAX, 0, 0);
    chip->state.pc = kg_register(chip, UC_ARM_REG_PC) | 1u;
    if (chip->again.end != 0) {
        uint64_t first = chip->again.pc, end = chip->again.end;
        chip->again = (kg_span_t){0};
        return uc_ctl_remove_cache(chip->uc, first, end) == UC_ERR_OK;
    }
    if (chip->fault_pending) {
        chip->fault_pending = false;
        bool first = !chip->in_fault;
        chip->in_fault = true;
        set_limit(chip, FAULT_BUDGET);
        return first && kg_enter_hard_fault(chip);
    }
    if (!chip->stopping) {
        chip->state.reason = error == UC_ERR_OK ? KG_HALTED : KG_BROKEN;
        chip->state.error = (uint32_t)error;
    }
    return false;
}

const kg_state_t *kg_chip_run(kg_chip_t *chip, uint64_t cycles) {
    if (chip->in_fault) {
        return &chip->state;  // a fault is the end
    }
    set_limit(chip, cycles);
    while (run_once(chip)) {
    }
    if (chip->in_fault) {
        chip->state.reason = KG_FAULT;
    }
    return &chip->state;
}

const kg_state_t *kg_chip_state(const kg_chip_t *chip) {
    return &chip->state;
}

const kg_step_count_t *kg_chip_steps(const kg_chip_t *chip) {
    return chip->steps;
}

void kg_chip_reset_steps(kg_chip_t *chip) {
    memset(chip->steps, 0, KG_STEPS * sizeof *chip->steps);
}
