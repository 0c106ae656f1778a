// SPDX-License-Identifier: Apache-2.0
// Applies a core's cost table to straight code: issue, waiting for operands, pairs.
#include "internal.h"

#define LONG_AGO (-1000)

// An in-order pipeline while it works through code. Times are cycles since a block began.
typedef struct {
    int32_t next;    // earliest issue of the next instruction
    int32_t issued;  // issue of the last one
    bool may_pair;   // the last one still has room beside it
    bool narrow;     // the last one had 16 bits
    const kg_cost_t *last;
    int32_t ready[KG_REGISTERS];  // when each register can be read
    uint64_t loaded;              // by the last instruction, if others may follow it
    uint64_t from_load;           // registers that a load wrote last
} pipeline_t;

// Nothing waits for what was long ago.
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
static int32_t operands_ready(const pipeline_t *pipe, const kg_instruction_t *now) {
    const kg_cost_t *cost = now->cost;
    uint64_t plain = kg_operand_mask(now->row, now->word, KG_READ);
    uint64_t early = kg_operand_mask(now->row, now->word, KG_EARLY);
    uint64_t late = kg_operand_mask(now->row, now->word, KG_LATE);
    int32_t when = latest(pipe->ready, plain, 0, LONG_AGO);
    when = latest(pipe->ready, plain & pipe->from_load, cost->after_load, when);
    when = latest(pipe->ready, early, cost->early, when);
    return latest(pipe->ready, late, -(int32_t)cost->late, when);
}

static bool excludes(const kg_cost_t *one, const kg_cost_t *other) {
    return one->not_with >> other->unit & 1;
}

static bool pairs(const pipeline_t *pipe, const kg_cost_t *cost, int32_t when) {
    if (!pipe->may_pair || cost->first_only) {
        return false;
    }
    if (cost->unit == KG_NO_UNIT || pipe->last->unit == KG_NO_UNIT) {
        return false;
    }
    if (excludes(cost, pipe->last) || excludes(pipe->last, cost)) {
        return false;
    }
    bool room = cost->unit != pipe->last->unit || cost->copies > 1;
    return room && when <= pipe->issued;
}

// What may be skipped is timed as if it were: what it takes more is added when it runs.
static int32_t occupies(const pipeline_t *pipe, const kg_instruction_t *now) {
    const kg_cost_t *cost = now->cost;
    if (kg_is_variable(now) || (kg_branches(now) && now->in_it)) {
        return 1;
    }
    if (cost->folds && pipe->narrow) {
        return 0;
    }
    bool behind_load = pipe->last != NULL && pipe->last->load && cost->follow != 0;
    if (behind_load && !(kg_operand_mask(now->row, now->word, KG_EARLY) & pipe->loaded)) {
        return cost->follow;
    }
    return (int32_t)kg_whole_cost(now);
}

// Results come after the latency; a base address that a load or store has moved is there with the
// next issue.
static void write_results(pipeline_t *pipe, const kg_instruction_t *now) {
    const kg_cost_t *cost = now->cost;
    uint64_t written = kg_operand_mask(now->row, now->word, KG_WRITE);
    uint64_t moved = written & kg_operand_mask(now->row, now->word, KG_EARLY);
    for (uint64_t rest = written; rest != 0; rest &= rest - 1) {
        bool base = (moved >> __builtin_ctzll(rest) & 1) != 0;
        int32_t after = base ? 1 - (int32_t)cost->early : cost->latency;
        pipe->ready[__builtin_ctzll(rest)] = pipe->issued + after;
    }
    pipe->loaded = cost->load ? written : 0;
    pipe->from_load = (pipe->from_load & ~written) | (cost->load ? written & ~moved : 0);
}

static void issue(pipeline_t *pipe, const kg_instruction_t *now) {
    int32_t when = operands_ready(pipe, now);
    int32_t takes = occupies(pipe, now);
    if (pairs(pipe, now->cost, when)) {
        pipe->may_pair = false;
    } else {
        pipe->issued = when > pipe->next ? when : pipe->next;
        pipe->may_pair = true;
    }
    int32_t done = pipe->issued + takes;
    pipe->next = done > pipe->next ? done : pipe->next;
    write_results(pipe, now);
    pipe->narrow = now->bytes == 2;
    pipe->last = now->cost;
}

// The pipeline as the block before leaves it, `refill` cycles later.
static pipeline_t behind(kg_chip_t *chip, const kg_block_t *block, uint32_t refill) {
    pipeline_t pipe = empty_pipeline();
    kg_reader_t reader = kg_read_code(chip, block->from);
    kg_instruction_t now;
    while (kg_next_instruction(&reader, &now)) {
        issue(&pipe, &now);
    }
    int32_t passed = pipe.next + (int32_t)refill;
    for (int i = 0; i < KG_REGISTERS; i++) {
        pipe.ready[i] -= passed;
    }
    pipe.issued -= passed;
    pipe.next = 0;
    if (block->by_branch) {
        pipe.may_pair = pipe.narrow = false;
        pipe.last = NULL;
        pipe.loaded = 0;
    }
    return pipe;
}

// What the branch at the end of the block before costs, as it is taken. Inside an IT block it was
// timed as skipped.
static uint32_t cost_of_branch(kg_chip_t *chip, kg_span_t span) {
    kg_reader_t reader = kg_read_code(chip, span);
    kg_instruction_t now = {0};
    while (kg_next_instruction(&reader, &now)) {
    }
    if (now.row == NULL || !kg_branches(&now)) {
        return 0;
    }
    return now.cost->taken + (now.in_it ? kg_whole_cost(&now) - 1 : 0);
}

static uint32_t refill_for(kg_chip_t *chip, const kg_block_t *block) {
    uint32_t refill = cost_of_branch(chip, block->from);
    const uint8_t *code = kg_code_at(chip, (kg_span_t){block->span.pc, block->span.pc + 2});
    bool wide = code != NULL && kg_instruction_bytes((uint16_t)(code[0] | code[1] << 8)) == 4;
    return refill + (wide && block->span.pc % 4 != 0 ? chip->settings.fetch.unaligned_target : 0);
}

static kg_special_t special_of(const kg_instruction_t *now) {
    if (now->cost->missing) {
        return KG_NOT_ON_CORE;
    }
    return (now->row->fpu ? KG_USES_FPU : KG_PLAIN) |
           (kg_is_variable(now) ? KG_UNWATCHED : KG_PLAIN);
}

// Returns the address of the block's first instruction of a kind.
uint32_t kg_find_special(kg_chip_t *chip, kg_span_t span, kg_special_t special) {
    kg_reader_t reader = kg_read_code(chip, span);
    kg_instruction_t now;
    while (kg_next_instruction(&reader, &now)) {
        if (special_of(&now) & special) {
            return now.address;
        }
    }
    return span.pc;
}

void kg_time_block(kg_chip_t *chip, kg_block_t *block) {
    uint32_t refill = block->by_branch ? refill_for(chip, block) : 0;
    pipeline_t pipe = behind(chip, block, refill);
    kg_reader_t reader = kg_read_code(chip, block->span);
    kg_instruction_t now;
    block->instructions = 0;
    block->flow = KG_STRAIGHT;
    while (kg_next_instruction(&reader, &now)) {
        issue(&pipe, &now);
        block->special = (uint8_t)(block->special | special_of(&now));
        block->flow = now.in_it && kg_branches(&now) ? KG_CONDITIONAL : now.row->flow;
        block->instructions++;
    }
    block->cycles = (uint16_t)kg_wait_for_bus(chip, block, (uint32_t)pipe.next + refill);
}
