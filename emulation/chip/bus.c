// SPDX-License-Identifier: Apache-2.0
// Code that is fetched over the bus on which data go, too: what a block waits for its own words.
#include "internal.h"

#define WORD 4u

// Cycles from one fetch to the next in the memory that holds the code; 0: the bus is no limit.
static uint32_t cycles_of_fetch(const kg_chip_t *chip, uint32_t pc) {
    const kg_region_t *region = kg_find_region(chip, pc);
    return region == NULL ? 0 : region->how.fetch;
}

static uint32_t accesses_of(kg_chip_t *chip, kg_span_t span) {
    kg_reader_t reader = kg_read_code(chip, span);
    kg_instruction_t now;
    uint32_t accesses = 0;
    while (kg_next_instruction(&reader, &now)) {
        accesses += now.row->accesses + kg_list_length(now.row, now.word);
    }
    return accesses;
}

// Words that the block before has not fetched already.
static uint32_t words_of(const kg_block_t *block) {
    uint32_t first = block->span.pc / WORD;
    bool fetched = !block->by_branch && block->span.pc % WORD != 0;
    return (block->span.end - 1) / WORD - first + 1 - fetched;
}

// The core works while the next words come, so the slowest of three counts: its own work, behind a
// branch after a longer first fetch; fetches, which do not follow one another at once; all that
// goes over the bus.
uint32_t kg_wait_for_bus(kg_chip_t *chip, const kg_block_t *block, uint32_t cycles) {
    uint32_t fetch = cycles_of_fetch(chip, block->span.pc);
    if (fetch == 0 || block->span.end <= block->span.pc) {
        return cycles;
    }
    uint32_t words = words_of(block);
    uint32_t fetches = fetch * words;
    uint32_t bus = words + accesses_of(chip, block->span);
    uint32_t work = cycles + (block->by_branch ? fetch - 1 : 0);
    uint32_t most = fetches > bus ? fetches : bus;
    return most > work ? most : work;
}
