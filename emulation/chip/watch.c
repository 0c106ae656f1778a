// SPDX-License-Identifier: Apache-2.0
// Sees every access to data memory: reads of bytes that nothing has written, accesses that are not
// aligned, and how deep the stack gets. Nothing else is slowed down when nobody watches.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define RANGES 4
#define FINDINGS 256
#define WORD 4u

typedef struct {
    uint32_t base, size;
    uint8_t *written;  // a flag for each byte
} range_t;

struct kg_watch {
    range_t ranges[RANGES];  // the first one is the stack
    uint32_t range_count;
    uint32_t top;   // where the stack begins
    uint32_t last;  // stack pointer at the last access
    kg_stack_depth_t deepest;
    kg_finding_t findings[FINDINGS];
    uint32_t finding_count;
};

static uint32_t smaller(uint32_t one, uint32_t other) {
    return one < other ? one : other;
}

static void mark(range_t *range, uint32_t first, uint32_t bytes, uint8_t written) {
    uint32_t offset = first - range->base;
    if (offset < range->size) {
        memset(range->written + offset, written, smaller(bytes, range->size - offset));
    }
}

// What a function has left on the stack is no longer meant by anybody.
// Asked at every access, and at every block: that is where functions return to.
void kg_follow_stack(kg_chip_t *chip) {
    kg_watch_t *watch = chip->watch;
    uint32_t sp = kg_register(chip, UC_ARM_REG_SP);
    if (sp > watch->last) {
        mark(&watch->ranges[0], watch->last, sp - watch->last, 0);
    }
    watch->last = sp;
    if (watch->top - sp > watch->deepest.bytes && sp <= watch->top) {
        watch->deepest = (kg_stack_depth_t){watch->top - sp, chip->block->span.pc};
    }
}

// A block that is full of findings has its first ones kept.
static void note(kg_chip_t *chip, kg_finding_kind_t kind, uint32_t address, uint32_t bytes) {
    kg_watch_t *watch = chip->watch;
    uint32_t pc = chip->block->span.pc;
    for (uint32_t i = 0; i < watch->finding_count; i++) {
        kg_finding_t *old = &watch->findings[i];
        if (old->kind == (uint32_t)kind && old->pc == pc) {
            old->bytes += bytes;
            old->count++;
            return;
        }
    }
    if (watch->finding_count < FINDINGS) {
        watch->findings[watch->finding_count++] = (kg_finding_t){kind, pc, address, bytes, 1};
    }
}

// Every byte is reported once.
static void check_read(kg_chip_t *chip, range_t *range, uint32_t address, uint32_t bytes) {
    uint32_t offset = address - range->base;
    if (offset >= range->size) {
        return;
    }
    bytes = smaller(bytes, range->size - offset);
    for (uint32_t i = 0; i < bytes; i++) {
        if (range->written[offset + i] == 0) {
            note(chip, KG_FINDING_UNWRITTEN, address + i, bytes - i);
            mark(range, address + i, bytes - i, 1);
            return;
        }
    }
}

static void on_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value,
                      void *user) {
    (void)uc;
    (void)value;
    kg_chip_t *chip = user;
    uint32_t first = (uint32_t)address, bytes = (uint32_t)size;
    kg_forget_if_then(chip);
    kg_follow_stack(chip);
    if ((first & (smaller(bytes, WORD) - 1)) != 0) {
        note(chip, KG_FINDING_UNALIGNED, first, bytes);
    }
    for (uint32_t i = 0; i < chip->watch->range_count; i++) {
        if (type == UC_MEM_WRITE) {
            mark(&chip->watch->ranges[i], first, bytes, 1);
        } else {
            check_read(chip, &chip->watch->ranges[i], first, bytes);
        }
    }
}

static bool add_range(kg_watch_t *watch, uint32_t base, uint32_t size) {
    uint8_t *written = calloc(1, size > 0 ? size : 1);
    if (written == NULL || watch->range_count == RANGES) {
        free(written);
        return false;
    }
    watch->ranges[watch->range_count++] = (range_t){base, size, written};
    return true;
}

// Code that is translated already does not ask the hooks.
static bool watch_all(kg_chip_t *chip, uint32_t first, uint32_t last) {
    void *callback = (void *)(uintptr_t)on_access;
    return kg_add_hook(chip, UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, callback, first, last) &&
           uc_ctl_flush_tb(chip->uc) == UC_ERR_OK && uc_ctl_flush_tlb(chip->uc) == UC_ERR_OK;
}

bool kg_chip_watch(kg_chip_t *chip, uint32_t first, uint32_t last, uint32_t top,
                   const kg_span_of_memory_t *fresh, uint32_t count) {
    if (chip->watch != NULL) {
        return false;
    }
    kg_watch_t *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return false;
    }
    chip->watch = watch;
    kg_set_horizon(chip);
    watch->top = top;
    watch->last = kg_register(chip, UC_ARM_REG_SP);
    bool made = add_range(watch, chip->settings.stack_base, top - chip->settings.stack_base);
    for (uint32_t i = 0; made && i < count; i++) {
        made = add_range(watch, fresh[i].base, fresh[i].size);
    }
    if (made) {
        mark(&watch->ranges[0], watch->last, top - watch->last, 1);
    }
    return made && watch_all(chip, first, last);
}

const kg_finding_t *kg_chip_findings(const kg_chip_t *chip, uint32_t *count) {
    *count = chip->watch == NULL ? 0 : chip->watch->finding_count;
    return chip->watch == NULL ? NULL : chip->watch->findings;
}

kg_stack_depth_t kg_chip_stack_depth(const kg_chip_t *chip) {
    return chip->watch == NULL ? (kg_stack_depth_t){0} : chip->watch->deepest;
}

void kg_free_watch(kg_chip_t *chip) {
    for (uint32_t i = 0; chip->watch != NULL && i < chip->watch->range_count; i++) {
        free(chip->watch->ranges[i].written);
    }
    free(chip->watch);
    chip->watch = NULL;
}
