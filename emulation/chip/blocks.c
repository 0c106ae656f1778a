// SPDX-License-Identifier: Apache-2.0
// Counts instructions and cycles: unicorn announces each basic block, a table knows its cost.
#include "internal.h"

#define B_TO_ITSELF 0xE7FEu

static const uint8_t *code_at(kg_chip_t *chip, uint32_t pc, uint32_t bytes) {
    kg_memory_t *memory = kg_find_memory(chip, pc, bytes);
    return memory == NULL ? NULL : memory->bytes + (pc - memory->base);
}

// Fills the table's entry. Firmware that changes its code later is not supported.
static void learn_block(kg_chip_t *chip, kg_block_t *block, uint32_t pc, uint32_t size) {
    const uint8_t *code = code_at(chip, pc, size);
    block->pc = pc;
    block->end = pc + size;
    block->special = pc == (chip->settings.lap & ~1u) ? KG_LAP : KG_PLAIN;
    if (code == NULL) {
        block->instructions = block->cycles = block->taken = 0;
        return;
    }
    kg_time_block(chip, block, code);
    if (size == 2 && (code[0] | code[1] << 8) == B_TO_ITSELF) {
        block->special |= KG_LOOP_FOREVER;
    }
}

// Linear probing over a few neighbours; then the first is evicted. If it returns, it is learned
// again.
static kg_block_t *find_block(kg_chip_t *chip, uint32_t pc, uint32_t size) {
    uint32_t home = pc >> 1;
    for (uint32_t probe = 0; probe < 8; probe++) {
        kg_block_t *block = &chip->blocks[(home + probe) & (KG_BLOCKS - 1)];
        if (block->pc == pc && block->end == pc + size) {
            return block;
        }
        if (block->end == 0) {
            learn_block(chip, block, pc, size);
            return block;
        }
    }
    learn_block(chip, &chip->blocks[home & (KG_BLOCKS - 1)], pc, size);
    return &chip->blocks[home & (KG_BLOCKS - 1)];
}

// The entry of kg_trainer_lap: what ran since the last entry belongs to the step in r2.
static void end_lap(kg_chip_t *chip) {
    int32_t step = (int32_t)kg_register(chip, UC_ARM_REG_R2);
    if (step >= KG_STEPS || step < -1) {
        kg_fault(chip, KG_FAULT_STEP, 0, 0, (uint32_t)step);
        return;
    }
    if (step >= 0 && chip->lap_started) {
        kg_step_count_t *count = &chip->steps[step];
        count->instructions += chip->state.instructions - chip->lap_instructions;
        count->cycles += chip->state.cycles - chip->lap_cycles;
        count->runs++;
    }
    chip->lap_started = true;
    chip->lap_instructions = chip->state.instructions;
    chip->lap_cycles = chip->state.cycles;
}

// Unicorn would run an instruction of this block that the core refuses. Those before it do not run.
static void refuse(kg_chip_t *chip, const kg_block_t *block, kg_special_t special,
                   kg_fault_kind_t kind) {
    const uint8_t *code = code_at(chip, block->pc, block->end - block->pc);
    uint32_t pc = kg_find_special(chip, block, code, special);
    chip->block = (kg_block_t){0};
    uc_reg_write(chip->uc, UC_ARM_REG_PC, &(uint32_t){pc | 1u});
    kg_fault(chip, kind, 0, 0, 0);
}

// Returns false when the block must not run.
static bool before_special(kg_chip_t *chip, const kg_block_t *block) {
    if (chip->state.cycles >= chip->limit) {
        kg_stop_now(chip, chip->wish);
    } else if (block->special & KG_LOOP_FOREVER) {
        kg_stop_now(chip, KG_HALTED);
    } else if (block->special & KG_NOT_ON_CORE) {
        refuse(chip, block, KG_NOT_ON_CORE, KG_FAULT_UNDEFINED);
    } else if ((block->special & KG_USES_FPU) && !chip->fpu_on && chip->settings.fpu) {
        refuse(chip, block, KG_USES_FPU, KG_FAULT_FPU_OFF);
    } else if (block->special & KG_LAP) {
        end_lap(chip);
    }
    return !chip->stopping;
}

void kg_block_hook(uc_engine *uc, uint64_t address, uint32_t size, void *user) {
    (void)uc;
    kg_chip_t *chip = user;
    if (chip->stopping) {
        return;  // unicorn announces one more block than it runs
    }
    uint32_t pc = (uint32_t)address;
    kg_block_t *block = &chip->blocks[(pc >> 1) & (KG_BLOCKS - 1)];
    if (block->pc != pc || block->end != pc + size) {
        block = find_block(chip, pc, size);
    }
    uint32_t taken = chip->block.end != pc ? chip->block.taken : 0;
    chip->state.cycles += taken;
    if (block->special != KG_PLAIN || chip->state.cycles >= chip->limit) {
        if (!before_special(chip, block)) {
            chip->state.cycles -= taken;
            return;
        }
    }
    chip->state.instructions += block->instructions;
    chip->state.cycles += block->cycles;
    chip->block = *block;
}

// What the instructions of the running block from pc on have been charged.
static kg_block_t rest_of_block(kg_chip_t *chip, uint32_t pc) {
    kg_block_t whole = chip->block;
    kg_block_t part = {.pc = whole.pc, .end = pc};
    bool inside = pc >= whole.pc && pc < whole.end;
    const uint8_t *code = inside ? code_at(chip, whole.pc, whole.end - whole.pc) : NULL;
    if (code == NULL) {
        return (kg_block_t){.pc = pc};
    }
    kg_time_block(chip, &part, code);
    return (kg_block_t){.pc = pc,
                        .instructions = whole.instructions - part.instructions,
                        .cycles = whole.cycles - part.cycles};
}

// A fault at pc: its instruction and those behind it did not run.
void kg_take_back(kg_chip_t *chip, uint32_t pc) {
    kg_block_t rest = rest_of_block(chip, pc);
    chip->state.instructions -= rest.instructions;
    chip->state.cycles -= rest.cycles;
    chip->block = (kg_block_t){0};
}

// A peripheral is accessed: finds the instruction's place in its block, so that clocks are exact.
void kg_note_access(kg_chip_t *chip) {
    chip->clock_behind = rest_of_block(chip, kg_register(chip, UC_ARM_REG_PC)).cycles;
}

uint64_t kg_now(const kg_chip_t *chip) {
    return chip->state.cycles - chip->clock_behind;
}
