// SPDX-License-Identifier: Apache-2.0
// Branch prediction: a direct-mapped cache of branch targets, with two bits of history for each.
#ifndef KG_CHIP_PREDICTION_H
#define KG_CHIP_PREDICTION_H

#include "internal.h"

#define KG_EXPECT_TAKEN 2u  // from here on the counter expects the branch to be taken
#define KG_SURE 3u

// What a branch costs that the cache does not hold, or that goes elsewhere than last time. One that
// is not held is expected not to be taken.
static KG_RARELY uint32_t kg_predict_anew(kg_chip_t *chip, kg_target_t *entry, uint32_t pc) {
    const kg_block_t *block = chip->block;
    if (!kg_branches_to(block, pc)) {
        return 0;
    }
    *entry = (kg_target_t){block->span.end, pc, KG_EXPECT_TAKEN};
    const kg_fetch_t *fetch = &chip->settings.fetch;
    return block->flow == KG_ALWAYS ? fetch->unknown_target : fetch->mispredicted;
}

// Adds what the branch at the end of the block before costs more, now that the core goes on at pc.
// False, and nothing done, for one that the cache does not hold, or that goes elsewhere. What loops
// do is written without branches: the host cannot foresee their ends either.
static inline bool kg_foresees(kg_chip_t *chip, uint32_t pc, uint64_t *cycles) {
    uint32_t end = chip->block->span.end;
    kg_target_t *entry = &chip->targets[(end >> 1) & (chip->settings.fetch.targets - 1)];
    uint32_t taken = pc != end;
    if (entry->end != end || (taken & (entry->target != pc))) {
        return false;
    }
    uint32_t counter = entry->counter;
    uint32_t expected = counter >= KG_EXPECT_TAKEN;
    uint32_t more = counter + (counter < KG_SURE), less = counter - (counter > 0);
    entry->counter = taken ? more : less;
    *cycles += chip->settings.fetch.mispredicted & (0u - (expected ^ taken));
    return true;
}

// What that branch costs more, whatever the cache holds.
static inline uint32_t kg_predict(kg_chip_t *chip, uint32_t pc) {
    uint64_t cycles = 0;
    if (kg_foresees(chip, pc, &cycles)) {
        return (uint32_t)cycles;
    }
    uint32_t number = (chip->block->span.end >> 1) & (chip->settings.fetch.targets - 1);
    return kg_predict_anew(chip, &chip->targets[number], pc);
}

#endif
