// SPDX-License-Identifier: Apache-2.0
// The virtual chip as Python (engines/_native.py) sees it: every struct has its mirror there.
#ifndef KG_CHIP_H
#define KG_CHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define KG_EXPORT __declspec(dllexport)
#else
#define KG_EXPORT __attribute__((visibility("default")))
#endif

#define KG_STEPS 16384  // step numbers that kg_trainer_lap may report
#define KG_NODES 16384  // of a profile
#define KG_NO_FUNCTION UINT32_MAX
#define KG_OPERANDS 6    // registers that one instruction may name
#define KG_BITS 5        // bits of a register's number
#define KG_REGISTERS 48  // r0-r15, s0-s31
#define KG_NO_UNIT 0     // an execution unit that issues alone

// A register named by an instruction: where the bits of its number are, and what happens to it.
typedef enum { KG_READ = 1, KG_WRITE = 2, KG_EARLY = 4, KG_LATE = 8 } kg_access_t;

typedef struct {
    uint8_t bits[KG_BITS];  // positions, most significant first
    uint8_t count;          // 0: unused
    uint8_t first;          // 0 for r0-r15, 16 for s0-s31
    uint8_t access;         // kg_access_t, combined
} kg_operand_t;

// indirect: always, to an address from a register or from memory.
typedef enum { KG_STRAIGHT, KG_CONDITIONAL, KG_ALWAYS, KG_INDIRECT, KG_IT } kg_flow_t;

// One encoding: an instruction is of the first row for which (code & mask) == value.
typedef struct {
    uint32_t mask, value;
    uint32_t list;     // bits that each stand for one register of a list
    uint32_t number;   // bits that hold the length of a list as a number
    uint16_t kind;     // index of its kg_cost_t
    uint8_t flow;      // kg_flow_t
    uint8_t fpu;       // needs the floating point unit
    uint8_t literal;   // loads a constant that lies near it
    uint8_t accesses;  // to memory, besides those of a list
    kg_operand_t operands[KG_OPERANDS];
} kg_row_t;

// How long a division takes by its operands, in cycles.
typedef struct {
    uint8_t zero;            // one operand is zero
    uint8_t smaller;         // the dividend has fewer bits than the divisor
    uint8_t first;           // else, and one more for every bits_per_cycle bits that it has more
    uint8_t bits_per_cycle;  // 0: not a division that ends early
    uint8_t is_signed;
} kg_early_out_t;

// What one class of instructions costs on this core, in cycles.
typedef struct {
    uint8_t cycles;        // until the next instruction may issue
    uint8_t per_register;  // more for each register of a list
    uint8_t width;         // registers of a list that go together
    uint8_t taken;         // more when it branches
    uint8_t latency;       // from issue until its results can be used
    uint8_t early;         // addresses and shifted operands are needed this long before issue
    uint8_t late;          // accumulators and stored data are needed this long after issue
    uint8_t after_load;    // operands that a load delivers are needed this long before issue
    uint8_t follow;        // instead of `cycles` behind a load that is not its address; or 0
    uint8_t load;          // others may follow it
    uint8_t folds;         // takes no time behind an instruction of 16 bits
    uint8_t unit;          // execution unit; KG_NO_UNIT: never pairs
    uint8_t copies;        // how many of that unit the core has
    uint8_t first_only;    // may only be the first of a pair
    uint8_t missing;       // the core does not have these instructions
    kg_early_out_t early_out;
    uint32_t not_with;  // bit n: does not pair with unit n
} kg_cost_t;

// How a core fetches: cycles beyond those of the branch itself.
typedef struct {
    uint32_t unaligned_target;  // the target is a 32-bit instruction that is not on a word boundary
    uint32_t targets;           // entries of the branch target cache, a power of two; 0: none
    uint32_t mispredicted;      // a conditional or indirect branch
    uint32_t unknown_target;    // another branch that the target cache does not hold
} kg_fetch_t;

typedef struct {
    int32_t cpu_model;  // unicorn's number of the core
    uint32_t cpuid;
    uint32_t fpu;  // the core has one (and CPACR switches it on)
    uint64_t clock_hz;
    uint32_t vector_table;
    uint32_t stack_base;  // first address of the memory that the stack grows down to
    uint32_t lap;         // address of kg_trainer_lap; 0: none
    const kg_row_t *rows16, *rows32;
    uint32_t rows16_count, rows32_count;
    const kg_cost_t *costs;
    uint32_t costs_count;
    kg_fetch_t fetch;
} kg_settings_t;

typedef enum { KG_ACCESS_WRITE = 1, KG_ACCESS_EXECUTE = 2 } kg_permission_t;

typedef enum {
    KG_SLICE,       // the number of cycles asked for has passed, or the host must take the output
    KG_WAITING,     // the firmware polls an empty receiver
    KG_FAULT,       // see fault
    KG_HALTED,      // a branch to itself, or a sleep that nothing can end
    KG_RESET,       // the firmware asked for a system reset
    KG_INTERRUPTS,  // the firmware enabled an interrupt: the chip has none
    KG_BROKEN,      // unicorn failed: see error
} kg_reason_t;

typedef enum {
    KG_FAULT_NONE,
    KG_FAULT_READ,           // read outside the map
    KG_FAULT_WRITE,          // write outside the map
    KG_FAULT_READ_ONLY,      // write to flash or ROM
    KG_FAULT_FETCH,          // execution outside the map
    KG_FAULT_NOT_CODE,       // execution of data memory
    KG_FAULT_STACK,          // stack overflow
    KG_FAULT_STACK_POINTER,  // the stack pointer is below the stack
    KG_FAULT_UNALIGNED,      // unaligned access
    KG_FAULT_UNDEFINED,      // an instruction that the core does not have
    KG_FAULT_STATE,          // a branch to an even address
    KG_FAULT_FPU_OFF,        // floating point before CPACR enables it
    KG_FAULT_BREAKPOINT,     // BKPT without a debugger
    KG_FAULT_SUPERVISOR,     // SVC: the chip has no exceptions but HardFault
    KG_FAULT_DMA,            // a peripheral was given an address outside RAM
    KG_FAULT_STEP,           // kg_trainer_lap got a step number out of range
} kg_fault_kind_t;

typedef struct {
    uint32_t kind;  // kg_fault_kind_t
    uint32_t address, size, value;
    uint32_t registers[17];  // r0-r15, xPSR
    uint32_t output;         // bytes of output that were there when it happened
} kg_fault_t;

typedef struct {
    uint64_t instructions, cycles;
    uint32_t reason;  // kg_reason_t
    uint32_t error;   // uc_err
    uint32_t pc;
    kg_fault_t fault;
} kg_state_t;

typedef struct {
    uint64_t instructions, cycles, runs;
} kg_step_count_t;

// A cache, or (with one set and one way) a buffer that reads whole lines.
typedef struct {
    uint32_t sets, ways;            // a power of two each
    uint32_t line_shift;            // log2 of the bytes of a line
    uint32_t fill;                  // cycles until a line is there
    uint32_t fill_next;             // the same if the line behind it was the last to be read
    uint32_t on_register, on_mask;  // it works while one of these bits is set; 0: always
} kg_lines_t;

typedef struct kg_chip kg_chip_t;

// The sizes of the structs above, 16 bits each: Python compares them with its own.
KG_EXPORT uint64_t kg_chip_layout(void);

// Returns NULL when unicorn cannot be opened. settings (not what it points to) is copied.
KG_EXPORT kg_chip_t *kg_chip_create(const kg_settings_t *settings);
KG_EXPORT void kg_chip_destroy(kg_chip_t *chip);

// Map memory (zeroed; multiples of 4 KB), and show it at a second address.
// permissions: kg_permission_t, combined.
KG_EXPORT bool kg_chip_map(kg_chip_t *chip, uint32_t base, uint32_t size, uint32_t permissions);
KG_EXPORT bool kg_chip_alias(kg_chip_t *chip, uint32_t base, uint32_t alias);

// Map the model of a peripheral. False: there is no model of this name.
KG_EXPORT bool kg_chip_add(kg_chip_t *chip, const char *model, uint32_t base, uint32_t size);

// Map registers that remember what is written; offsets[i] also reads the bits of values[i] as ones.
KG_EXPORT bool kg_chip_add_stub(kg_chip_t *chip, uint32_t base, uint32_t size,
                                const uint32_t *offsets, const uint32_t *values, size_t count);

// What serves code and data of a memory: two numbers of caches or buffers each, the second of which
// serves while the first is off; 0: no waiting.
typedef struct {
    uint8_t code[2], data[2];
    // Cycles from one word of code to the next over a bus that data take, too; or 0.
    uint32_t fetch;
    // Of a line of the first for data, where it is not as that says; or 0.
    uint32_t fill, fill_next;
} kg_waits_t;

// Add a cache or buffer; the first is number 1. Then say what a memory waits for.
KG_EXPORT bool kg_chip_add_cache(kg_chip_t *chip, const kg_lines_t *how);
KG_EXPORT bool kg_chip_time_memory(kg_chip_t *chip, uint32_t base, uint32_t size,
                                   const kg_waits_t *how);

// Pages of such a memory that hold only data: their loads, and stores where it can be written,
// wait, too. (Constants between code do.)
KG_EXPORT bool kg_chip_time_data(kg_chip_t *chip, uint32_t base, uint32_t size);

// Names of the models that kg_chip_add knows; NULL ends the list.
KG_EXPORT const char *kg_chip_model(size_t index);

// Host access to memory; no protection. False: not all of it is memory.
KG_EXPORT bool kg_chip_poke(kg_chip_t *chip, uint32_t address, const uint8_t *data, uint32_t bytes);
KG_EXPORT bool kg_chip_peek(kg_chip_t *chip, uint32_t address, uint8_t *data, uint32_t bytes);

// Take SP and PC from the vector table, once everything is mapped. False: unicorn failed.
KG_EXPORT bool kg_chip_reset(kg_chip_t *chip);

// Run for at least `cycles` cycles, or until something else ends the run.
KG_EXPORT const kg_state_t *kg_chip_run(kg_chip_t *chip, uint64_t cycles);
KG_EXPORT const kg_state_t *kg_chip_state(const kg_chip_t *chip);

// The host's end of the UART. send: false when there is no memory. receive: the bytes taken.
KG_EXPORT bool kg_chip_send(kg_chip_t *chip, const uint8_t *data, size_t bytes);
KG_EXPORT size_t kg_chip_receive(kg_chip_t *chip, uint8_t *data, size_t bytes);

// A function as it was called from one place: what it took itself, without what it called.
typedef struct {
    uint32_t parent, child, sibling;  // numbers of nodes; 0: the root, or none
    uint32_t function;                // number of its address; KG_NO_FUNCTION for the root
    uint64_t cycles, instructions, calls;
} kg_node_t;

// Attribute what runs from now on to functions, given by their ascending first addresses (which are
// not copied). A second time, only the counts start anew. The first node is the root. NULL: no
// profile.
KG_EXPORT bool kg_chip_profile(kg_chip_t *chip, const uint32_t *functions, uint32_t count);
KG_EXPORT const kg_node_t *kg_chip_nodes(kg_chip_t *chip, uint32_t *count);

// What is watched for: reads of bytes that nothing has written, and accesses that are not aligned.
typedef enum { KG_FINDING_UNWRITTEN, KG_FINDING_UNALIGNED } kg_finding_kind_t;

// One kind of finding in one basic block: the first address, and how often and how much in all.
typedef struct {
    uint32_t kind;  // kg_finding_kind_t
    uint32_t pc;    // of the block
    uint32_t address;
    uint32_t bytes;
    uint64_t count;
} kg_finding_t;

typedef struct {
    uint32_t bytes;
    uint32_t pc;  // of the block that was there
} kg_stack_depth_t;

typedef struct {
    uint32_t base, size;
} kg_span_of_memory_t;

// Watch all accesses from `first` to `last` from now on (once; it makes the chip slow). `fresh`
// memory counts as not written; so does the stack, which begins at `top`, below its pointer. False:
// no memory, or watched already.
KG_EXPORT bool kg_chip_watch(kg_chip_t *chip, uint32_t first, uint32_t last, uint32_t top,
                             const kg_span_of_memory_t *fresh, uint32_t count);
KG_EXPORT const kg_finding_t *kg_chip_findings(const kg_chip_t *chip, uint32_t *count);
KG_EXPORT kg_stack_depth_t kg_chip_stack_depth(const kg_chip_t *chip);

// A block that ran: the cycles before it, its first address and its length.
typedef struct {
    uint64_t cycles;
    uint32_t pc, instructions;
} kg_trace_entry_t;

// Remember the last `room` blocks from now on. Entry n of all is at n % room.
KG_EXPORT bool kg_chip_trace(kg_chip_t *chip, uint32_t room);
KG_EXPORT const kg_trace_entry_t *kg_chip_trace_entries(const kg_chip_t *chip, uint64_t *count);

// Counts by step number, KG_STEPS of them.
KG_EXPORT const kg_step_count_t *kg_chip_steps(const kg_chip_t *chip);
KG_EXPORT void kg_chip_reset_steps(kg_chip_t *chip);

#endif
