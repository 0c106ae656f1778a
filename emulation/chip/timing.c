// SPDX-License-Identifier: Apache-2.0
// Applies a core's cost table to straight code: issue, waiting for operands, pairs.
#include "internal.h"

#define LONG_AGO (-1000)

// An in-order pipeline while it works through one block. Times are cycles since the block began.
typedef struct {
    int32_t next;    // earliest issue of the next instruction
    int32_t issued;  // issue of the last one
    bool may_pair;   // the last one still has room beside it
    const kg_cost_t *last;
    int32_t ready[KG_REGISTERS];  // when each register can be read
    uint64_t loaded;              // by the last instruction, if others may follow it
} pipeline_t;

// Nothing waits for registers that were written before the block.
static pipeline_t empty_pipeline(void) {
    pipeline_t pipe = {0};
    for (int i = 0; i < KG_REGISTERS; i++) {
        pipe.ready[i] = LONG_AGO;
    }
    return pipe;
}

static int32_t latest(const int32_t *ready, uint64_t registers, int32_t shift, int32_t so_far) {
    while (registers != 0) {
        int32_t when = ready[__builtin_ctzll(registers)] + shift;
        so_far = when > so_far ? when : so_far;
        registers &= registers - 1;
    }
    return so_far;
}

// When all operands have arrived.
static int32_t operands_ready(const pipeline_t *pipe, const kg_cost_t *cost, const kg_row_t *row,
                              uint32_t word) {
    int32_t when = latest(pipe->ready, kg_operand_mask(row, word, KG_READ), 0, 0);
    when = latest(pipe->ready, kg_operand_mask(row, word, KG_EARLY), cost->early, when);
    return latest(pipe->ready, kg_operand_mask(row, word, KG_LATE), -(int32_t)cost->late, when);
}

static bool pairs(const pipeline_t *pipe, const kg_cost_t *cost, int32_t when) {
    if (!pipe->may_pair || cost->first_only) {
        return false;
    }
    if (cost->unit == KG_NO_UNIT || pipe->last->unit == KG_NO_UNIT) {
        return false;
    }
    bool room = cost->unit != pipe->last->unit || cost->copies > 1;
    return room && when <= pipe->issued;
}

static int32_t occupies(const pipeline_t *pipe, const kg_cost_t *cost, const kg_row_t *row,
                        uint32_t word) {
    bool behind_load = pipe->last != NULL && pipe->last->load && cost->follow != 0;
    if (behind_load && !(kg_operand_mask(row, word, KG_EARLY) & pipe->loaded)) {
        return cost->follow;
    }
    return cost->cycles + (int32_t)(cost->per_register * kg_list_length(row, word));
}

static void issue(pipeline_t *pipe, const kg_cost_t *cost, const kg_row_t *row, uint32_t word) {
    int32_t when = operands_ready(pipe, cost, row, word);
    if (pairs(pipe, cost, when)) {
        pipe->may_pair = false;
    } else {
        pipe->issued = when > pipe->next ? when : pipe->next;
        pipe->may_pair = true;
    }
    int32_t done = pipe->issued + occupies(pipe, cost, row, word);
    pipe->next = done > pipe->next ? done : pipe->next;
    uint64_t written = kg_operand_mask(row, word, KG_WRITE);
    pipe->loaded = cost->load ? written : 0;
    pipe->last = cost;
    for (uint64_t rest = written; rest != 0; rest &= rest - 1) {
        pipe->ready[__builtin_ctzll(rest)] = pipe->issued + cost->latency;
    }
}

// The cost of the branch at a block's end. One inside an IT block takes a cycle if it is skipped.
static void end_block(kg_block_t *block, const pipeline_t *pipe, const kg_row_t *row,
                      const kg_cost_t *cost, bool in_it) {
    block->cycles = (uint32_t)pipe->next;
    block->taken = 0;
    if (row->flow == KG_CONDITIONAL) {
        block->taken = cost->taken;
    } else if (row->flow == KG_ALWAYS && in_it) {
        uint32_t skipped = (uint32_t)pipe->issued + 1;
        block->taken = (uint16_t)(block->cycles - skipped + cost->taken);
        block->cycles = skipped;
    } else if (row->flow == KG_ALWAYS) {
        block->cycles += cost->taken;
    }
}

// How many instructions an IT instruction makes conditional: 1 for mask 1000, ... 4 for xxx1.
static uint32_t it_length(uint32_t word) {
    return 4 - (uint32_t)__builtin_ctz(word & 0xFu);
}

static kg_special_t special_of(const kg_chip_t *chip, const kg_row_t *row) {
    if (chip->settings.costs[row->kind].missing) {
        return KG_NOT_ON_CORE;
    }
    return row->fpu ? KG_USES_FPU : KG_PLAIN;
}

// Returns the address of the block's first instruction of a kind.
uint32_t kg_find_special(kg_chip_t *chip, const kg_block_t *block, const uint8_t *code,
                         kg_special_t special) {
    uint32_t at = block->pc;
    while (code != NULL && at < block->end) {
        uint32_t word;
        uint32_t bytes = kg_instruction_bytes((uint16_t)(code[0] | code[1] << 8));
        const kg_row_t *row = kg_decode(&chip->settings, code, bytes, &word);
        if (row != NULL && special_of(chip, row) == special) {
            return at;
        }
        at += bytes;
        code += bytes;
    }
    return block->pc;
}

void kg_time_block(kg_chip_t *chip, kg_block_t *block, const uint8_t *code) {
    static const kg_row_t unknown;  // of class 0, which is the table's default
    pipeline_t pipe = empty_pipeline();
    const kg_row_t *row = &unknown;
    uint32_t it_left = 0;
    bool in_it = false;
    uint32_t bytes;
    block->instructions = 0;
    for (uint32_t at = block->pc; at < block->end; at += bytes, code += bytes) {
        uint32_t word;
        bytes = kg_instruction_bytes((uint16_t)(code[0] | code[1] << 8));
        row = kg_decode(&chip->settings, code, bytes, &word);
        row = row == NULL ? &unknown : row;
        block->special = (uint16_t)(block->special | special_of(chip, row));
        block->instructions++;
        issue(&pipe, &chip->settings.costs[row->kind], row, word);
        in_it = it_left > 0;
        it_left = row->flow == KG_IT ? it_length(word) : it_left > 0 ? it_left - 1 : 0;
    }
    end_block(block, &pipe, row, &chip->settings.costs[row->kind], in_it);
}
