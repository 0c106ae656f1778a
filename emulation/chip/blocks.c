// SPDX-License-Identifier: Apache-2.0
// Counts instructions and cycles: unicorn announces each basic block, a table knows its cost.
#include <string.h>

#include "internal.h"
#include "prediction.h"

#define B_TO_ITSELF 0xE7FEu

// Both addresses as one number: half as many comparisons.
static inline uint64_t number_of(const kg_span_t *span) {
    uint64_t number;
    memcpy(&number, span, sizeof number);
    return number;
}

static inline bool same(kg_span_t one, kg_span_t other) {
    return number_of(&one) == number_of(&other);
}

// Fills the table's entry. Firmware that changes its code later is not supported.
static void learn_block(kg_chip_t *chip, kg_block_t *block, kg_span_t span) {
    *block = (kg_block_t){.span = span, .from = chip->block->span};
    block->by_branch = chip->block->span.end != 0 && kg_branches_to(chip->block, span.pc);
    block->special = span.pc == (chip->settings.lap & ~1u) ? KG_LAP : KG_PLAIN;
    block->special |= kg_may_lower_stack(chip, block->from) ? KG_STACK_MOVED : KG_PLAIN;
    block->region = kg_region_of(chip, span.pc);
    kg_time_block(chip, block);
    if (block->region != 0) {
        kg_note_literals(chip, block);
    }
    const uint8_t *code = kg_code_at(chip, span);
    if (code != NULL && span.end - span.pc == 2 && (code[0] | code[1] << 8) == B_TO_ITSELF) {
        block->special |= KG_LOOP_FOREVER;
    }
}

static bool fits(const kg_chip_t *chip, const kg_block_t *block, kg_span_t span) {
    return same(block->span, span) && same(block->from, chip->block->span);
}

// A block has an entry for each block that it runs behind.
static uint32_t home_of(kg_span_t from, uint32_t pc) {
    return (((pc << 15 | pc >> 17) ^ from.end) * 0x9E3779B1u) >> 16;
}

// Linear probing over a few neighbours; then the first is evicted. If it returns, it is learned
// again.
static KG_RARELY kg_block_t *look_up(kg_chip_t *chip, kg_span_t span) {
    uint32_t home = home_of(chip->block->span, span.pc);
    kg_block_t *block = NULL;
    for (uint32_t probe = 0; probe < 8; probe++) {
        block = &chip->blocks[(home + probe) & (KG_BLOCKS - 1)];
        if (fits(chip, block, span)) {
            return block;
        }
        if (block->span.end == 0) {
            break;
        }
    }
    if (block->span.end != 0) {
        bool in_use = chip->block == &chip->blocks[home];
        block = &chip->blocks[(home + in_use) & (KG_BLOCKS - 1)];
    }
    learn_block(chip, block, span);
    return block;
}

// Most blocks go on where they went on last time.
static kg_block_t *find_block(kg_chip_t *chip, kg_span_t span) {
    uint16_t *next = &chip->block->next[span.pc == chip->block->span.end];
    kg_block_t *block = &chip->blocks[*next];
    if (!fits(chip, block, span)) {
        block = look_up(chip, span);
        *next = (uint16_t)(block - chip->blocks);
    }
    return block;
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
    uint32_t pc = kg_find_special(chip, block->span, special);
    chip->block = &chip->blocks[KG_BLOCKS];
    uc_reg_write(chip->uc, UC_ARM_REG_PC, &(uint32_t){pc | 1u});
    kg_fault(chip, kind, 0, 0, 0);
}

// Unicorn has translated the block without a watch on its variable instructions: it runs again.
static void translate_again(kg_chip_t *chip, kg_block_t *block) {
    block->special &= (uint8_t)~KG_UNWATCHED;
    if (kg_watch_variable(chip, block->span)) {
        chip->again = block->span;
        chip->stopping = true;
        kg_set_horizon(chip);
        uc_emu_stop(chip->uc);
    }
}

// Returns false when the block must not run.
static KG_RARELY bool before_special(kg_chip_t *chip, kg_block_t *block) {
    if (block->special & KG_STACK_MOVED) {
        kg_check_stack(chip, block);
    }
    if (chip->stopping) {
        return false;
    }
    if (chip->state.cycles >= chip->limit) {
        kg_stop_now(chip, chip->wish);
    } else if (block->special & KG_LOOP_FOREVER) {
        kg_stop_now(chip, KG_HALTED);
    } else if (block->special & KG_NOT_ON_CORE) {
        refuse(chip, block, KG_NOT_ON_CORE, KG_FAULT_UNDEFINED);
    } else if ((block->special & KG_USES_FPU) && !chip->fpu_on && chip->settings.fpu) {
        refuse(chip, block, KG_USES_FPU, KG_FAULT_FPU_OFF);
    } else if (block->special & KG_UNWATCHED) {
        translate_again(chip, block);
    } else if (block->special & KG_LAP) {
        end_lap(chip);
    }
    return !chip->stopping;
}

// The block runs: everything is counted that may be to count.
static KG_APART void enter(kg_chip_t *chip, kg_block_t *block) {
    if (chip->profile != NULL) {
        kg_profile_block(chip, block->span.pc);
    }
    if (chip->trace != NULL) {
        kg_trace_block(chip, block);
    }
    if (chip->watch != NULL) {
        kg_follow_stack(chip);
    }
    if (chip->targets != NULL && chip->block->flow != KG_STRAIGHT) {
        chip->state.cycles += kg_predict(chip, block->span.pc);
    }
    if (block->region != 0) {
        chip->state.cycles += kg_fetch(chip, block);
    }
    chip->state.instructions += block->instructions;
    chip->state.cycles += block->cycles;
    chip->block = block;
}

// The block is new behind the last one, or something about it is special.
static KG_RARELY void look_closely(kg_chip_t *chip, kg_span_t span) {
    if (chip->stopping) {
        return;  // unicorn announces one more block than it runs
    }
    kg_block_t *block = find_block(chip, span);
    if (block->special != KG_PLAIN || chip->state.cycles >= chip->limit) {
        if (!before_special(chip, block)) {
            return;
        }
    }
    enter(chip, block);
}

// The short way of a block that follows where it followed last time. It calls nothing, so that no
// register must be saved for it: most of the host's time goes by here.
void kg_block_hook(uc_engine *uc, uint64_t address, uint32_t size, void *user) {
    (void)uc;
    kg_chip_t *chip = user;
    kg_span_t span = {(uint32_t)address, (uint32_t)address + size};
    kg_block_t *last = chip->block;
    kg_block_t *block = &chip->blocks[last->next[span.pc == last->span.end]];
    bool known = same(block->span, span) & same(block->from, last->span);
    if (!known || block->special != KG_PLAIN || chip->state.cycles >= chip->horizon) {
        look_closely(chip, span);
        return;
    }
    uint64_t cycles = block->cycles;
    bool branched = last->flow != KG_STRAIGHT && chip->targets != NULL;
    if (block->region != 0 || (branched && !kg_foresees(chip, span.pc, &cycles))) {
        enter(chip, block);
        return;
    }
    chip->state.instructions += block->instructions;
    chip->state.cycles += cycles;
    chip->block = block;
}

// What the instructions of the running block from pc on have been charged.
static kg_block_t rest_of_block(kg_chip_t *chip, uint32_t pc) {
    kg_block_t whole = *chip->block;
    kg_block_t part = whole;
    part.span.end = pc;
    if (pc < whole.span.pc || pc >= whole.span.end) {
        return (kg_block_t){0};
    }
    kg_time_block(chip, &part);
    part.instructions = whole.instructions - part.instructions;
    part.cycles = whole.cycles - part.cycles;
    return part;
}

// A fault at pc: its instruction and those behind it did not run.
void kg_take_back(kg_chip_t *chip, uint32_t pc) {
    kg_block_t rest = rest_of_block(chip, pc);
    chip->state.instructions -= rest.instructions;
    chip->state.cycles -= rest.cycles;
    chip->block = &chip->blocks[KG_BLOCKS];
}

// A peripheral is accessed: finds the instruction's place in its block, so that clocks are exact.
void kg_note_access(kg_chip_t *chip) {
    chip->clock_behind = rest_of_block(chip, kg_register(chip, UC_ARM_REG_PC)).cycles;
}

uint64_t kg_now(const kg_chip_t *chip) {
    return chip->state.cycles - chip->clock_behind;
}
