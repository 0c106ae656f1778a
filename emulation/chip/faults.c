// SPDX-License-Identifier: Apache-2.0
// What a core refuses: records the fault and lets the firmware's own HardFault handler report it.
#include <string.h>

#include "internal.h"

#define STACK_REACH 65536u  // a frame that overflows the stack is hardly larger
#define STACK_NEAR 512u     // a stack pointer so close to the end is about to overflow
#define HARD_FAULT 3u
#define FRAME_WORDS 8u
#define RETURN_TO_THREAD 0xFFFFFFF9u
#define ALIGNED_FRAME (1u << 9)
#define IT_STATE 0x0600FC00u  // of xPSR

// QEMU's numbers of the exceptions of its Arm cores, as UC_HOOK_INTR gets them.
enum { EXCEPTION_SVC = 2, EXCEPTION_DATA = 4, EXCEPTION_BKPT = 7, EXCEPTION_NO_FPU = 17 };

static bool is_stack_overflow(kg_chip_t *chip, uint32_t address) {
    uint32_t base = chip->settings.stack_base;
    bool near = kg_register(chip, UC_ARM_REG_SP) < base + STACK_NEAR;
    return near && address < base && base - address <= STACK_REACH;
}

static void read_registers(kg_chip_t *chip, uint32_t *registers) {
    for (int i = 0; i <= 12; i++) {
        registers[i] = kg_register(chip, UC_ARM_REG_R0 + i);
    }
    registers[13] = kg_register(chip, UC_ARM_REG_SP);
    registers[14] = kg_register(chip, UC_ARM_REG_LR);
    registers[15] = kg_register(chip, UC_ARM_REG_PC);
    registers[16] = kg_register(chip, UC_ARM_REG_XPSR);
}

// Only the first fault is kept: its block may go on to its end, and the handler may fault again.
void kg_fault(kg_chip_t *chip, kg_fault_kind_t kind, uint32_t address, uint32_t size,
              uint32_t value) {
    if (!chip->in_fault && !chip->fault_pending) {
        kg_fault_t *fault = &chip->state.fault;
        fault->kind = kind;
        fault->address = address;
        fault->size = size;
        fault->value = value;
        fault->output = (uint32_t)chip->wire.output_bytes;
        read_registers(chip, fault->registers);
        if (kind == KG_FAULT_FETCH) {
            fault->registers[15] = address;
        }
        kg_take_back(chip, fault->registers[15]);
        kg_nvic_fault_status(chip, kind, address);
    }
    chip->fault_pending = true;
    kg_stop_now(chip, KG_FAULT);
}

static kg_fault_kind_t memory_fault(kg_chip_t *chip, uc_mem_type type, uint32_t address) {
    switch (type) {
    case UC_MEM_FETCH_UNMAPPED:
        return KG_FAULT_FETCH;
    case UC_MEM_FETCH_PROT:
        return KG_FAULT_NOT_CODE;
    case UC_MEM_WRITE_PROT:
        return KG_FAULT_READ_ONLY;
    case UC_MEM_WRITE_UNMAPPED:
        return is_stack_overflow(chip, address) ? KG_FAULT_STACK : KG_FAULT_WRITE;
    default:
        return is_stack_overflow(chip, address) ? KG_FAULT_STACK : KG_FAULT_READ;
    }
}

// When unicorn brings its program counter up to date inside an IT block, it also leaves the IT
// state behind, which would then apply to the next block. Code that is being executed has its
// conditions compiled in and does not need it.
void kg_forget_if_then(kg_chip_t *chip) {
    uint32_t status = kg_register(chip, UC_ARM_REG_XPSR);
    if (status & IT_STATE) {
        status &= ~IT_STATE;
        uc_reg_write(chip->uc, UC_ARM_REG_XPSR_NZCVQG, &status);
    }
}

// Peripherals are mapped without permissions, so that unicorn brings its program counter up to date
// and asks here before it calls their model. Returns true to let the access happen.
static bool on_memory(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value,
                      void *user) {
    (void)uc;
    kg_chip_t *chip = user;
    bool data = type == UC_MEM_READ_PROT || type == UC_MEM_WRITE_PROT;
    for (size_t i = 0; data && i < chip->peripheral_count; i++) {
        if (address - chip->peripherals[i].base < chip->peripherals[i].size) {
            kg_note_access(chip);
            kg_forget_if_then(chip);
            return true;
        }
    }
    kg_fault_kind_t kind = memory_fault(chip, type, (uint32_t)address);
    kg_fault(chip, kind, (uint32_t)address, (uint32_t)size, (uint32_t)value);
    return false;
}

static bool on_invalid_instruction(uc_engine *uc, void *user) {
    (void)uc;
    kg_chip_t *chip = user;
    bool thumb = kg_register(chip, UC_ARM_REG_CPSR) & (1u << 5);
    kg_fault(chip, thumb ? KG_FAULT_UNDEFINED : KG_FAULT_STATE, 0, 0, 0);
    return false;
}

static void on_exception(uc_engine *uc, uint32_t number, void *user) {
    (void)uc;
    kg_chip_t *chip = user;
    if (chip->in_fault) {
        kg_stop_now(chip, KG_FAULT);  // the handler returns or halts at BKPT
    } else if (number == EXCEPTION_DATA) {
        kg_fault(chip, KG_FAULT_UNALIGNED, 0, 0, 0);
    } else if (number == EXCEPTION_BKPT) {
        kg_fault(chip, KG_FAULT_BREAKPOINT, 0, 0, 0);
    } else if (number == EXCEPTION_SVC) {
        kg_fault(chip, KG_FAULT_SUPERVISOR, 0, 0, 0);
    } else if (number == EXCEPTION_NO_FPU) {
        kg_fault(chip, KG_FAULT_FPU_OFF, 0, 0, 0);
    } else {
        kg_fault(chip, KG_FAULT_UNDEFINED, 0, 0, 0);
    }
}

// Unicorn asks this when the core first touches a page of 4 KB. It only ends the fast path for
// stores on pages that may hold code, so data memory must not look executable.
static bool on_page(uc_engine *uc, uint64_t page, uc_mem_type type, uc_tlb_entry *entry,
                    void *user) {
    (void)uc;
    kg_chip_t *chip = user;
    if (type != UC_MEM_FETCH) {
        kg_forget_if_then(chip);
    }
    kg_memory_t *memory = kg_find_memory(chip, (uint32_t)page, 1);
    bool data = memory != NULL && memory->permissions == KG_ACCESS_WRITE;
    data = data || kg_is_timed_data(chip, (uint32_t)page);
    if (data && type == UC_MEM_FETCH) {
        kg_fault(chip, KG_FAULT_NOT_CODE, kg_register(chip, UC_ARM_REG_PC), 0, 0);
        return false;
    }
    entry->paddr = page;
    entry->perms = data ? UC_PROT_READ | UC_PROT_WRITE : UC_PROT_ALL;
    return true;
}

// Returns the data memory that holds `address`, or the next one above it; NULL if there is none.
static const kg_memory_t *next_data_memory(const kg_chip_t *chip, uint32_t address) {
    const kg_memory_t *next = NULL;
    for (size_t i = 0; i < chip->memory_count; i++) {
        const kg_memory_t *memory = &chip->memories[i];
        bool data = memory->permissions == KG_ACCESS_WRITE;
        bool above = memory->base + (memory->size - 1) >= address;
        if (data && above && (next == NULL || memory->base < next->base)) {
            next = memory;
        }
    }
    return next;
}

static bool watch(kg_chip_t *chip, uint32_t first, uint32_t last) {
    return kg_add_hook(chip, UC_HOOK_MEM_INVALID, (void *)(uintptr_t)on_memory, first, last);
}

// Watches everything but data memory: a hook there would slow down every store.
static bool watch_memory(kg_chip_t *chip) {
    uint32_t first = 0;
    const kg_memory_t *data;
    while ((data = next_data_memory(chip, first)) != NULL) {
        if (data->base > first && !watch(chip, first, data->base - 1)) {
            return false;
        }
        first = data->base + data->size;
    }
    return watch(chip, first, UINT32_MAX);
}

bool kg_watch_faults(kg_chip_t *chip) {
    void *page = (void *)(uintptr_t)on_page;
    void *invalid = (void *)(uintptr_t)on_invalid_instruction;
    void *exception = (void *)(uintptr_t)on_exception;
    return uc_ctl_tlb_mode(chip->uc, UC_TLB_VIRTUAL) == UC_ERR_OK &&
           kg_add_hook(chip, UC_HOOK_TLB_FILL, page, 0, UINT32_MAX) &&
           kg_add_hook(chip, UC_HOOK_INSN_INVALID, invalid, 0, UINT32_MAX) &&
           kg_add_hook(chip, UC_HOOK_INTR, exception, 0, UINT32_MAX) && watch_memory(chip);
}

// Where the exception frame goes: below the stack pointer, or on a fresh stack if that one is used
// up or nonsense.
static bool place_frame(kg_chip_t *chip, uint32_t *frame) {
    uint32_t stacks[2] = {chip->state.fault.registers[13], chip->initial_sp};
    for (int i = 0; i < 2; i++) {
        *frame = (stacks[i] - 4 * FRAME_WORDS) & ~7u;
        kg_memory_t *memory = kg_find_memory(chip, *frame, 4 * FRAME_WORDS);
        bool room = *frame >= chip->settings.stack_base;
        if (room && memory != NULL && (memory->permissions & KG_ACCESS_WRITE)) {
            return true;
        }
    }
    return false;
}

// Exception entry (ARMv7-M ARM, B1.5.6). Returns false when there is no handler to enter.
bool kg_enter_hard_fault(kg_chip_t *chip) {
    const uint32_t *was = chip->state.fault.registers;
    uint32_t handler = 0;
    uint32_t sp;
    kg_chip_peek(chip, chip->vector_table + 4 * HARD_FAULT, (uint8_t *)&handler, 4);
    kg_memory_t *code = kg_find_memory(chip, handler & ~1u, 2);
    bool runs = (handler & 1u) && code != NULL && (code->permissions & KG_ACCESS_EXECUTE);
    if (!runs || !place_frame(chip, &sp)) {
        return false;
    }
    uint32_t status = was[16] | (was[13] & 4 ? ALIGNED_FRAME : 0);
    uint32_t frame[FRAME_WORDS] = {was[0],  was[1],  was[2],  was[3],
                                   was[12], was[14], was[15], status};
    kg_chip_poke(chip, sp, (const uint8_t *)frame, sizeof frame);
    for (int i = 0; i <= 12; i++) {
        uc_reg_write(chip->uc, UC_ARM_REG_R0 + i, &was[i]);
    }
    uint32_t link = RETURN_TO_THREAD, number = HARD_FAULT;
    uc_reg_write(chip->uc, UC_ARM_REG_SP, &sp);
    uc_reg_write(chip->uc, UC_ARM_REG_LR, &link);
    uc_reg_write(chip->uc, UC_ARM_REG_IPSR, &number);
    chip->state.pc = handler;
    return true;
}
