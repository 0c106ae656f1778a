// SPDX-License-Identifier: Apache-2.0
// Watches the stack pointer: it is looked at behind each block that may have lowered it.
#include "internal.h"

#define STACK_POINTER 13u

// Encodings that move the stack pointer without naming it as a register that they write (ARMv7-M
// ARM, A7.7).
static const struct {
    uint32_t mask, value;
} implied[] = {
    {0xFFFFFF80u, 0xB080u},      // SUB SP, #imm
    {0xFFFFFE00u, 0xB400u},      // PUSH
    {0xFFFF0000u, 0xE92D0000u},  // STMDB SP!
    {0xFFBF0E00u, 0xED2D0A00u},  // VPUSH
};

static bool may_lower(const kg_instruction_t *now) {
    for (size_t i = 0; i < sizeof implied / sizeof implied[0]; i++) {
        if ((now->word & implied[i].mask) == implied[i].value) {
            return true;
        }
    }
    return kg_operand_mask(now->row, now->word, KG_WRITE) >> STACK_POINTER & 1;
}

// Returns the address of the last instruction that may lower it; 0: there is none.
static uint32_t find_last(kg_chip_t *chip, kg_span_t span) {
    kg_reader_t reader = kg_read_code(chip, span);
    kg_instruction_t now;
    uint32_t found = 0;
    while (kg_next_instruction(&reader, &now)) {
        found = may_lower(&now) ? now.address : found;
    }
    return found;
}

bool kg_may_lower_stack(kg_chip_t *chip, kg_span_t span) {
    return find_last(chip, span) != 0;
}

// Before the block behind the one that lowered it. The fault is of that instruction, which has run.
void kg_check_stack(kg_chip_t *chip, const kg_block_t *block) {
    uint32_t sp = kg_register(chip, UC_ARM_REG_SP);
    if (sp < chip->settings.stack_base && !chip->in_fault) {
        uint32_t pc = find_last(chip, block->from) | 1u;
        chip->block = &chip->blocks[KG_BLOCKS];
        uc_reg_write(chip->uc, UC_ARM_REG_PC, &pc);
        kg_fault(chip, KG_FAULT_STACK_POINTER, sp, 0, 0);
    }
}
