// SPDX-License-Identifier: Apache-2.0
// What code and data wait for their memories: caches, and the buffers that read whole lines.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define NO_LINE UINT32_MAX

static bool make_lines(kg_cache_t *cache) {
    const kg_lines_t *how = &cache->how;
    cache->lines = malloc((size_t)how->sets * how->ways * sizeof *cache->lines);
    return cache->lines != NULL;
}

static void empty(kg_cache_t *cache) {
    const kg_lines_t *how = &cache->how;
    memset(cache->lines, 0xFF, (size_t)how->sets * how->ways * sizeof *cache->lines);
    cache->last = cache->filled = NO_LINE;
}

bool kg_chip_add_cache(kg_chip_t *chip, const kg_lines_t *how) {
    if (chip->cache_count == KG_CACHES) {
        return false;
    }
    kg_cache_t *cache = &chip->caches[chip->cache_count];
    *cache = (kg_cache_t){.how = *how, .on = how->on_register == 0};
    if (!make_lines(cache)) {
        return false;
    }
    chip->cache_count++;
    empty(cache);
    return true;
}

void kg_free_caches(kg_chip_t *chip) {
    for (size_t i = 0; i < chip->cache_count; i++) {
        free(chip->caches[i].lines);
    }
}

// A data cache may be filled from this memory at a pace of its own.
static uint32_t time_of_fill(const kg_region_t *region, const kg_cache_t *cache, bool follows) {
    if (region->how.fill != 0 && cache == &region->chip->caches[region->how.data[0] - 1]) {
        return follows ? region->how.fill_next : region->how.fill;
    }
    return follows ? cache->how.fill_next : cache->how.fill;
}

// The lines of a set stand in the order of their last use. Returns the cycles that are waited.
static uint32_t find_line(const kg_region_t *region, kg_cache_t *cache, uint32_t line) {
    const kg_lines_t *how = &cache->how;
    uint32_t *set = cache->lines + (size_t)(line & (how->sets - 1)) * how->ways;
    uint32_t moved = set[0];
    if (moved == line) {
        return 0;
    }
    set[0] = line;
    for (uint32_t way = 1; way < how->ways; way++) {
        uint32_t held = set[way];
        set[way] = moved;
        if (held == line) {
            return 0;
        }
        moved = held;
    }
    bool follows = line == cache->filled + 1;
    cache->filled = line;
    return time_of_fill(region, cache, follows);
}

static uint32_t touch(const kg_region_t *region, kg_cache_t *cache, uint32_t line) {
    if (line == cache->last) {
        return 0;
    }
    cache->last = line;
    return find_line(region, cache, line);
}

static kg_cache_t *cache_for(kg_chip_t *chip, const uint8_t *choices) {
    kg_cache_t *first = choices[0] == 0 ? NULL : &chip->caches[choices[0] - 1];
    if (first != NULL && first->on) {
        return first;
    }
    return choices[1] == 0 ? NULL : &chip->caches[choices[1] - 1];
}

// What the fetch of a block waits, and its loads of constants that lie between code.
uint32_t kg_fetch(kg_chip_t *chip, const kg_block_t *block) {
    const kg_region_t *region = &chip->regions[block->region - 1];
    kg_cache_t *cache = cache_for(chip, region->how.code);
    uint32_t waits = 0;
    if (cache != NULL) {
        uint32_t shift = cache->how.line_shift;
        uint32_t last = (block->span.end - 1) >> shift;
        for (uint32_t line = block->span.pc >> shift; line <= last; line++) {
            waits += touch(region, cache, line);
        }
    }
    for (uint32_t i = 0; i < block->literal_count; i++) {
        waits += kg_wait_for_data(region, chip->literals[block->literals + i]);
    }
    return waits;
}

uint32_t kg_wait_for_data(const kg_region_t *region, uint32_t address) {
    kg_cache_t *cache = cache_for(region->chip, region->how.data);
    return cache == NULL ? 0 : touch(region, cache, address >> cache->how.line_shift);
}

// Where a constant lies that an instruction loads relative to its own address.
static uint32_t literal_address(const kg_instruction_t *now) {
    uint32_t base = (now->address + 4) & ~3u;
    if (now->bytes == 2) {
        return base + 4 * (now->word & 0xFFu);
    }
    uint32_t offset = now->word & 0xFFFu;
    return now->word >> 23 & 1 ? base + offset : base - offset;
}

// Notes the constants that a block loads. Without room for them, they make nothing wait.
void kg_note_literals(kg_chip_t *chip, kg_block_t *block) {
    kg_reader_t reader = kg_read_code(chip, block->span);
    kg_instruction_t now;
    block->literals = (uint16_t)chip->literal_count;
    while (kg_next_instruction(&reader, &now)) {
        if (now.row->literal && chip->literal_count < KG_LITERALS) {
            chip->literals[chip->literal_count++] = literal_address(&now);
            block->literal_count++;
        }
    }
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned size, void *user) {
    (void)uc;
    const kg_data_t *data = user;
    uint32_t address = data->base + (uint32_t)offset;
    data->region->chip->state.cycles += kg_wait_for_data(data->region, address);
    uint64_t value = 0;
    memcpy(&value, data->bytes + offset, size);
    return value;
}

// A cache takes the line of a store, too. Lines that go back meanwhile have a bus of their own.
static void on_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *user) {
    (void)uc;
    const kg_data_t *data = user;
    uint32_t address = data->base + (uint32_t)offset;
    data->region->chip->state.cycles += kg_wait_for_data(data->region, address);
    memcpy(data->bytes + offset, &value, size);
}

// NULL: nothing there is waited for.
const kg_region_t *kg_find_region(const kg_chip_t *chip, uint32_t address) {
    for (size_t i = 0; i < chip->region_count; i++) {
        const kg_region_t *region = &chip->regions[i];
        if (address - region->base < region->size) {
            return region;
        }
    }
    return NULL;
}

bool kg_chip_time_memory(kg_chip_t *chip, uint32_t base, uint32_t size, const kg_waits_t *how) {
    if (chip->region_count == KG_MEMORIES) {
        return false;
    }
    kg_region_t *region = &chip->regions[chip->region_count++];
    *region = (kg_region_t){chip, base, size, *how};
    return true;
}

// Unicorn would not tell which loads hit such memory without slowing down all loads; a load from
// what it takes for a peripheral comes here.
bool kg_chip_time_data(kg_chip_t *chip, uint32_t base, uint32_t size) {
    kg_memory_t *memory = kg_find_memory(chip, base, size);
    if (memory == NULL || chip->data_count == KG_MEMORIES) {
        return false;
    }
    const kg_region_t *region = kg_find_region(chip, base);
    if (region == NULL) {
        return false;
    }
    kg_data_t *data = &chip->data[chip->data_count++];
    *data = (kg_data_t){region, base, size, memory->bytes + (base - memory->base)};
    bool writable = memory->permissions & KG_ACCESS_WRITE;
    return uc_mem_unmap(chip->uc, base, size) == UC_ERR_OK &&
           uc_mmio_map(chip->uc, base, size, on_read, data, writable ? on_write : NULL,
                       writable ? data : NULL) == UC_ERR_OK;
}

bool kg_is_timed_data(const kg_chip_t *chip, uint32_t address) {
    for (size_t i = 0; i < chip->data_count; i++) {
        if (address - chip->data[i].base < chip->data[i].size) {
            return true;
        }
    }
    return false;
}

// Number of the region in which code lies, from 1; 0: none.
uint8_t kg_region_of(const kg_chip_t *chip, uint32_t pc) {
    const kg_region_t *region = kg_find_region(chip, pc);
    bool waits = region != NULL && (region->how.code[0] | region->how.code[1]) != 0;
    return waits ? (uint8_t)(region - chip->regions + 1) : 0;
}

// The firmware switches caches with its own register writes. One that is switched on is empty.
void kg_switch_caches(kg_chip_t *chip, uint32_t address, uint32_t value) {
    for (size_t i = 0; i < chip->cache_count; i++) {
        kg_cache_t *cache = &chip->caches[i];
        if (cache->how.on_register == address && address != 0) {
            bool on = (value & cache->how.on_mask) != 0;
            if (on && !cache->on) {
                empty(cache);
            }
            cache->on = on;
        }
    }
}
