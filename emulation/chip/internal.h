// SPDX-License-Identifier: Apache-2.0
// What the files of the virtual chip share: its state, and who may call whom.
#ifndef KG_CHIP_INTERNAL_H
#define KG_CHIP_INTERNAL_H

#include <unicorn/unicorn.h>

#include "chip.h"

#define KG_RARELY __attribute__((noinline, cold))  // keeps the way of most blocks short
#define KG_APART __attribute__((noinline))         // the same, for what is not rare
#define KG_MEMORIES 16
#define KG_CACHES 16
#define KG_LITERALS 65535
#define KG_PERIPHERALS 64
#define KG_BLOCKS 65536   // entries of the block table, a power of two
#define KG_VARIABLE 2048  // instructions whose cost is known only when they run

// Where straight code lies.
typedef struct {
    uint32_t pc;   // first instruction
    uint32_t end;  // behind its last instruction; 0: none
} kg_span_t;

// A basic block as unicorn translates it (straight code with at most one branch, at its end), as it
// runs behind another one: what waits for results of that one, or for a branch, is in its cycles.
typedef struct {
    kg_span_t span, from;  // from.end is 0 where nothing ran before
    uint16_t instructions;
    uint16_t cycles;  // from the end of the block before
    uint8_t region;   // whose code waits for its memory: its number; 0: none
    uint8_t special;  // kg_special_t
    uint8_t flow;     // kg_flow_t of its last instruction; conditional if an IT made it so
    bool by_branch;   // the block before has branched here
    uint16_t literals, literal_count;  // where its constants stand in the chip's list
    uint16_t next[2];  // entries of the blocks that ran behind it last: elsewhere, and at its end
} kg_block_t;

typedef enum {
    KG_PLAIN = 0,
    KG_LAP = 1,           // the entry of kg_trainer_lap
    KG_LOOP_FOREVER = 2,  // a branch to itself
    KG_USES_FPU = 4,
    KG_NOT_ON_CORE = 8,   // has an instruction that the core lacks
    KG_UNWATCHED = 16,    // has an instruction whose cost is known only when it runs
    KG_STACK_MOVED = 32,  // the block before may have lowered the stack pointer
} kg_special_t;

typedef struct {
    uint32_t base, size, permissions;
    uint8_t *bytes;
    bool owned;  // false for an alias
} kg_memory_t;

// A peripheral model. Offsets are multiples of 4; narrow values are shifted to their place there.
typedef struct kg_peripheral kg_peripheral_t;
struct kg_peripheral {
    kg_chip_t *chip;
    uint32_t base, size;
    uint32_t (*read)(kg_peripheral_t *self, uint32_t offset);
    void (*write)(kg_peripheral_t *self, uint32_t offset, uint32_t value);
    void *state;
};

// Tells whether what runs next, at pc, is the target of the branch at the block's end.
static inline bool kg_branches_to(const kg_block_t *block, uint32_t pc) {
    return (pc != block->span.end) | (block->flow == KG_ALWAYS) | (block->flow == KG_INDIRECT);
}

// An instruction whose cost depends on whether it is skipped, or on its operands.
typedef struct {
    kg_chip_t *chip;
    uint32_t address;
    uint32_t more;                    // cycles when it is not skipped
    const kg_early_out_t *early_out;  // or NULL
    uint8_t dividend, divisor;        // registers
} kg_variable_t;

// One decoded instruction, and where it stands.
typedef struct {
    const kg_row_t *row;
    const kg_cost_t *cost;
    uint32_t address, word, bytes;
    bool in_it;  // an IT instruction makes it conditional
} kg_instruction_t;

// Goes through the instructions of a span.
typedef struct {
    const kg_settings_t *settings;
    const uint8_t *code;
    uint32_t at, end;
    uint32_t it_left;  // instructions that the last IT still makes conditional
} kg_reader_t;

// What the core remembers of a branch; `end` is the address behind it.
typedef struct {
    uint32_t end, target;
    uint32_t counter;  // 2 and 3: expected to be taken
} kg_target_t;

typedef struct {
    kg_lines_t how;
    bool on;
    uint32_t last;    // line that was used last
    uint32_t filled;  // line that was read last
    uint32_t *lines;  // by set, most recently used first
} kg_cache_t;

// A memory that makes code or data wait; see kg_chip_time_memory.
typedef struct {
    kg_chip_t *chip;
    uint32_t base, size;
    kg_waits_t how;
} kg_region_t;

// Part of such a memory that holds no code: its loads and stores are seen.
typedef struct {
    const kg_region_t *region;
    uint32_t base, size;
    uint8_t *bytes;
} kg_data_t;

// The host's end of a UART.
typedef struct {
    uint8_t *input;  // grows
    size_t input_bytes, input_next, input_room;
    uint8_t *output;
    size_t output_bytes;
    uint32_t idle_polls;  // of an empty receiver since the last byte in either direction
} kg_wire_t;

typedef struct kg_profile kg_profile_t;
typedef struct kg_watch kg_watch_t;
typedef struct kg_trace kg_trace_t;

struct kg_chip {
    kg_settings_t settings;
    kg_state_t state;
    uc_engine *uc;
    kg_block_t *blocks;    // KG_BLOCKS, and one that stands for nothing
    kg_block_t *block;     // the one that runs
    kg_target_t *targets;  // the branch target cache
    kg_variable_t *variable;
    size_t variable_count;
    kg_span_t again;   // code to translate again, now with a watch on its variable instructions
    uint64_t limit;    // of cycles in this run; 0 when something wants it to stop
    uint64_t horizon;  // the same, but 0 while blocks must be looked at closely
    kg_reason_t wish;  // why it stops at the limit
    uint64_t clock_behind;  // cycles from the access to a peripheral to the end of its block
    bool stopping;          // a stop was asked for: the block that is announced will not run
    bool watched;
    bool in_fault;       // the firmware's HardFault handler runs
    bool fault_pending;  // a fault was recorded; the handler must be entered
    bool fpu_on;
    uint32_t initial_sp;
    uint32_t vector_table;  // VTOR
    kg_memory_t memories[KG_MEMORIES];
    size_t memory_count;
    kg_cache_t caches[KG_CACHES];
    size_t cache_count;
    kg_region_t regions[KG_MEMORIES];
    size_t region_count;
    kg_data_t data[KG_MEMORIES];
    size_t data_count;
    uint32_t *literals;
    size_t literal_count;
    kg_peripheral_t peripherals[KG_PERIPHERALS];
    size_t peripheral_count;
    kg_peripheral_t *scb;    // gets the fault status
    uint32_t trace_enabled;  // DEMCR.TRCENA
    kg_wire_t wire;
    kg_profile_t *profile;  // NULL: nobody asked for one
    kg_watch_t *watch;      // the same
    kg_trace_t *trace;      // the same
    kg_step_count_t *steps;
    bool lap_started;
    uint64_t lap_instructions, lap_cycles;
};

// chip.c
bool kg_add_hook(kg_chip_t *chip, int type, void *callback, uint32_t first, uint32_t last);
kg_memory_t *kg_find_memory(kg_chip_t *chip, uint32_t address, uint32_t bytes);
void kg_stop(kg_chip_t *chip, kg_reason_t reason);      // before the next block
void kg_stop_now(kg_chip_t *chip, kg_reason_t reason);  // only where the run cannot go on
uint32_t kg_register(kg_chip_t *chip, int id);
void kg_set_horizon(kg_chip_t *chip);  // after each change of what it depends on

// decode.c: kg_decode finds the row of an instruction and puts its halfwords together; NULL: no
// row.
uint32_t kg_instruction_bytes(uint16_t first_half);
const kg_row_t *kg_decode(const kg_settings_t *settings, const uint8_t *code, uint32_t bytes,
                          uint32_t *word);
uint64_t kg_operand_mask(const kg_row_t *row, uint32_t word, uint8_t access);
uint32_t kg_operand_number(const kg_operand_t *operand, uint32_t word);
uint32_t kg_list_length(const kg_row_t *row, uint32_t word);
const uint8_t *kg_code_at(kg_chip_t *chip, kg_span_t span);  // NULL: not all of it is memory
kg_reader_t kg_read_code(kg_chip_t *chip, kg_span_t span);
bool kg_next_instruction(kg_reader_t *reader, kg_instruction_t *found);  // false at the end
uint32_t kg_whole_cost(const kg_instruction_t *now);  // cycles if it runs and waits for nothing
bool kg_branches(const kg_instruction_t *now);
bool kg_is_variable(const kg_instruction_t *now);  // its cost is known only when it runs

// timing.c: fills everything of a block but its spans, and adds to its specials.
void kg_time_block(kg_chip_t *chip, kg_block_t *block);
uint32_t kg_find_special(kg_chip_t *chip, kg_span_t span, kg_special_t special);

// stack.c
bool kg_may_lower_stack(kg_chip_t *chip, kg_span_t span);
void kg_check_stack(kg_chip_t *chip, const kg_block_t *block);

// variable.c
bool kg_watch_variable(kg_chip_t *chip, kg_span_t span);

// profile.c
void kg_profile_block(kg_chip_t *chip, uint32_t pc);
void kg_free_profile(kg_chip_t *chip);

// watch.c and trace.c
void kg_follow_stack(kg_chip_t *chip);
void kg_free_watch(kg_chip_t *chip);
void kg_trace_block(kg_chip_t *chip, const kg_block_t *block);
void kg_free_trace(kg_chip_t *chip);

// bus.c
uint32_t kg_wait_for_bus(kg_chip_t *chip, const kg_block_t *block, uint32_t cycles);

// caches.c
const kg_region_t *kg_find_region(const kg_chip_t *chip, uint32_t address);
uint32_t kg_fetch(kg_chip_t *chip, const kg_block_t *block);
uint32_t kg_wait_for_data(const kg_region_t *region, uint32_t address);
void kg_note_literals(kg_chip_t *chip, kg_block_t *block);
bool kg_is_timed_data(const kg_chip_t *chip, uint32_t address);
uint8_t kg_region_of(const kg_chip_t *chip, uint32_t pc);
void kg_switch_caches(kg_chip_t *chip, uint32_t address, uint32_t value);
void kg_free_caches(kg_chip_t *chip);

// blocks.c
void kg_block_hook(uc_engine *uc, uint64_t address, uint32_t size, void *user);
void kg_take_back(kg_chip_t *chip, uint32_t pc);
void kg_note_access(kg_chip_t *chip);
uint64_t kg_now(const kg_chip_t *chip);

// faults.c
void kg_forget_if_then(kg_chip_t *chip);
bool kg_watch_faults(kg_chip_t *chip);  // once all memory is mapped
void kg_fault(kg_chip_t *chip, kg_fault_kind_t kind, uint32_t address, uint32_t size,
              uint32_t value);
bool kg_enter_hard_fault(kg_chip_t *chip);

// peripherals.c and one file for each model
typedef bool (*kg_model_t)(kg_peripheral_t *self);
bool kg_map_peripheral(kg_peripheral_t *self);
bool kg_model_nvic(kg_peripheral_t *self);
bool kg_model_dwt(kg_peripheral_t *self);
bool kg_model_stub(kg_peripheral_t *self);
bool kg_model_mps2_fpgaio(kg_peripheral_t *self);
bool kg_model_uart_cmsdk(kg_peripheral_t *self);
bool kg_model_uart_nrf52840(kg_peripheral_t *self);
bool kg_model_uart_pl011(kg_peripheral_t *self);
bool kg_model_uart_lpuart(kg_peripheral_t *self);
bool kg_model_uart_stm32(kg_peripheral_t *self);
bool kg_model_rp2040_timer(kg_peripheral_t *self);
void kg_stub_ready(kg_peripheral_t *self, uint32_t offset, uint32_t value);
void kg_nvic_fault_status(kg_chip_t *chip, kg_fault_kind_t kind, uint32_t address);

// wire.c
bool kg_wire_empty(const kg_chip_t *chip);
uint8_t kg_wire_take(kg_chip_t *chip);
void kg_wire_put(kg_chip_t *chip, uint8_t byte);
void kg_wire_idle_poll(kg_chip_t *chip);
void kg_wire_free(kg_chip_t *chip);

#endif
