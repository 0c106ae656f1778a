// SPDX-License-Identifier: Apache-2.0
// Remembers the last blocks that ran, in a ring: what led to where the firmware is now.
#include <stdlib.h>

#include "internal.h"

struct kg_trace {
    kg_trace_entry_t *entries;
    uint32_t room;
    uint64_t count;  // of all that were noted
};

bool kg_chip_trace(kg_chip_t *chip, uint32_t room) {
    kg_free_trace(chip);
    chip->trace = calloc(1, sizeof *chip->trace);
    if (chip->trace == NULL || room == 0) {
        return false;
    }
    chip->trace->entries = calloc(room, sizeof *chip->trace->entries);
    chip->trace->room = chip->trace->entries == NULL ? 0 : room;
    kg_set_horizon(chip);
    return chip->trace->entries != NULL;
}

// A block is about to run.
void kg_trace_block(kg_chip_t *chip, const kg_block_t *block) {
    kg_trace_t *trace = chip->trace;
    if (trace->room > 0) {
        trace->entries[trace->count++ % trace->room] =
            (kg_trace_entry_t){chip->state.cycles, block->span.pc, block->instructions};
    }
}

const kg_trace_entry_t *kg_chip_trace_entries(const kg_chip_t *chip, uint64_t *count) {
    *count = chip->trace == NULL ? 0 : chip->trace->count;
    return chip->trace == NULL ? NULL : chip->trace->entries;
}

void kg_free_trace(kg_chip_t *chip) {
    if (chip->trace != NULL) {
        free(chip->trace->entries);
        free(chip->trace);
        chip->trace = NULL;
    }
}
