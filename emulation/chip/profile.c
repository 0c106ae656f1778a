// SPDX-License-Identifier: Apache-2.0
// Attributes cycles to functions and to the calls that led there: a tree that follows the firmware.
#include <stdlib.h>

#include "internal.h"

#define DEPTH 64  // calls deeper than this count for their caller

typedef struct {
    uint32_t node;
    uint32_t back;  // address to which it returns
} frame_t;

struct kg_profile {
    const uint32_t *functions;  // first addresses, ascending
    uint32_t count;
    kg_node_t *nodes;
    uint32_t node_count;
    frame_t frames[DEPTH];
    uint32_t depth;                 // of the frame that runs
    uint64_t cycles, instructions;  // that are attributed so far
};

// Forgets what was counted; who called whom is still known.
static void start_again(kg_chip_t *chip) {
    kg_profile_t *profile = chip->profile;
    for (uint32_t i = 0; i < profile->node_count; i++) {
        profile->nodes[i].cycles = profile->nodes[i].instructions = profile->nodes[i].calls = 0;
    }
    profile->cycles = chip->state.cycles;
    profile->instructions = chip->state.instructions;
}

bool kg_chip_profile(kg_chip_t *chip, const uint32_t *functions, uint32_t count) {
    if (chip->profile != NULL) {
        start_again(chip);
        return true;
    }
    kg_profile_t *profile = calloc(1, sizeof *profile);
    kg_node_t *nodes = calloc(KG_NODES, sizeof *nodes);
    if (profile == NULL || nodes == NULL) {
        free(profile);
        free(nodes);
        return false;
    }
    nodes[0].function = KG_NO_FUNCTION;
    *profile = (kg_profile_t){.functions = functions, .count = count, .nodes = nodes};
    profile->node_count = 1;
    profile->cycles = chip->state.cycles;
    profile->instructions = chip->state.instructions;
    chip->profile = profile;
    kg_set_horizon(chip);
    return true;
}

void kg_free_profile(kg_chip_t *chip) {
    if (chip->profile != NULL) {
        free(chip->profile->nodes);
        free(chip->profile);
        chip->profile = NULL;
    }
}

static void attribute(kg_chip_t *chip) {
    kg_profile_t *profile = chip->profile;
    kg_node_t *node = &profile->nodes[profile->frames[profile->depth].node];
    node->cycles += chip->state.cycles - profile->cycles;
    node->instructions += chip->state.instructions - profile->instructions;
    profile->cycles = chip->state.cycles;
    profile->instructions = chip->state.instructions;
}

// Number of the last function that begins at or below pc.
static uint32_t function_of(const kg_profile_t *profile, uint32_t pc) {
    uint32_t first = 0, end = profile->count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (profile->functions[middle] <= pc) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first == 0 ? KG_NO_FUNCTION : first - 1;
}

static uint32_t child_of(kg_profile_t *profile, uint32_t parent, uint32_t function) {
    kg_node_t *nodes = profile->nodes;
    for (uint32_t at = nodes[parent].child; at != 0; at = nodes[at].sibling) {
        if (nodes[at].function == function) {
            return at;
        }
    }
    if (profile->node_count == KG_NODES) {
        return parent;
    }
    uint32_t made = profile->node_count++;
    nodes[made] = (kg_node_t){.parent = parent, .function = function};
    nodes[made].sibling = nodes[parent].child;
    nodes[parent].child = made;
    return made;
}

static void call(kg_profile_t *profile, uint32_t function, uint32_t back) {
    if (profile->depth + 1 < DEPTH) {
        uint32_t node = child_of(profile, profile->frames[profile->depth].node, function);
        profile->nodes[node].calls++;
        profile->frames[++profile->depth] = (frame_t){node, back};
    }
}

static bool return_to(kg_profile_t *profile, uint32_t pc) {
    for (uint32_t depth = profile->depth; depth > 0; depth--) {
        if (profile->frames[depth].back == pc) {
            profile->depth = depth - 1;
            return true;
        }
    }
    return false;
}

// Another function without a call: it returns to where this one would have.
static void jump(kg_profile_t *profile, uint32_t function) {
    frame_t *frame = &profile->frames[profile->depth];
    uint32_t parent = profile->nodes[frame->node].parent;
    frame->node = child_of(profile, parent, function);
    profile->nodes[frame->node].calls++;
}

// A block is about to run, and its cycles are not yet counted.
void kg_profile_block(kg_chip_t *chip, uint32_t pc) {
    kg_profile_t *profile = chip->profile;
    const kg_block_t *last = chip->block;
    attribute(chip);
    uint32_t function = function_of(profile, pc);
    bool starts = function != KG_NO_FUNCTION && profile->functions[function] == pc;
    uint32_t back = last->span.end;
    if (profile->depth == 0) {
        call(profile, function, 0);
    } else if (starts && pc != back && kg_register(chip, UC_ARM_REG_LR) == (back | 1u)) {
        call(profile, function, back);
    } else if (last->flow != KG_STRAIGHT && return_to(profile, pc)) {
        return;
    } else if (profile->nodes[profile->frames[profile->depth].node].function != function) {
        jump(profile, function);
    }
}

const kg_node_t *kg_chip_nodes(kg_chip_t *chip, uint32_t *count) {
    if (chip->profile == NULL) {
        *count = 0;
        return NULL;
    }
    attribute(chip);
    *count = chip->profile->node_count;
    return chip->profile->nodes;
}
