// SPDX-License-Identifier: Apache-2.0
// Instructions whose cost is known only when they run: divisions that end early, and those in IT
// blocks that take more than the cycle in which they can be skipped.
#include "internal.h"

static uint32_t bits_of(uint32_t value, bool is_signed) {
    uint32_t size = is_signed && value >> 31 ? 0u - value : value;
    return size == 0 ? 0 : 32 - (uint32_t)__builtin_clz(size);
}

static uint32_t division_cycles(const kg_early_out_t *how, uint32_t dividend, uint32_t divisor) {
    uint32_t have = bits_of(dividend, how->is_signed);
    uint32_t take = bits_of(divisor, how->is_signed);
    if (have == 0 || take == 0) {
        return how->zero;
    }
    return have < take ? how->smaller : how->first + (have - take) / how->bits_per_cycle;
}

// Unicorn calls this only for instructions that are not skipped.
static void on_variable(uc_engine *uc, uint64_t address, uint32_t size, void *user) {
    (void)uc, (void)address, (void)size;
    const kg_variable_t *watched = user;
    kg_chip_t *chip = watched->chip;
    if (chip->stopping) {
        return;
    }
    kg_forget_if_then(chip);
    chip->state.cycles += watched->more;
    if (watched->early_out != NULL) {
        uint32_t dividend = kg_register(chip, UC_ARM_REG_R0 + watched->dividend);
        uint32_t divisor = kg_register(chip, UC_ARM_REG_R0 + watched->divisor);
        chip->state.cycles += division_cycles(watched->early_out, dividend, divisor) - 1;
    }
}

static bool is_watched(const kg_chip_t *chip, uint32_t address) {
    for (size_t i = 0; i < chip->variable_count; i++) {
        if (chip->variable[i].address == address) {
            return true;
        }
    }
    return false;
}

// The first two registers that it reads.
static void find_operands(kg_variable_t *watched, const kg_instruction_t *now) {
    uint8_t numbers[2] = {0, 0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < KG_OPERANDS && count < 2; i++) {
        const kg_operand_t *operand = &now->row->operands[i];
        if (operand->count > 0 && operand->access == KG_READ) {
            numbers[count++] = (uint8_t)kg_operand_number(operand, now->word);
        }
    }
    watched->dividend = numbers[0];
    watched->divisor = numbers[1];
}

static bool watch(kg_chip_t *chip, const kg_instruction_t *now) {
    kg_variable_t *watched = &chip->variable[chip->variable_count++];
    *watched = (kg_variable_t){.chip = chip, .address = now->address};
    if (now->cost->early_out.bits_per_cycle != 0) {
        watched->early_out = &now->cost->early_out;
        find_operands(watched, now);
    } else {
        watched->more = kg_whole_cost(now) - 1;
    }
    uc_hook hook;
    void *callback = (void *)(uintptr_t)on_variable;
    return uc_hook_add(chip->uc, &hook, UC_HOOK_CODE, callback, watched, (uint64_t)now->address,
                       (uint64_t)now->address) == UC_ERR_OK;
}

// Returns true if something in the span is watched that was not before.
bool kg_watch_variable(kg_chip_t *chip, kg_span_t span) {
    kg_reader_t reader = kg_read_code(chip, span);
    kg_instruction_t now;
    bool any = false;
    while (kg_next_instruction(&reader, &now)) {
        bool room = chip->variable_count < KG_VARIABLE;
        if (kg_is_variable(&now) && room && !is_watched(chip, now.address)) {
            any = watch(chip, &now) || any;
        }
    }
    return any;
}
