// SPDX-License-Identifier: Apache-2.0
// From reset to main: the vector table, memory initialisation, the floating-point unit.
#include "port/kg_port.h"

#include <stdint.h>

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"

#define SCB_VTOR 0xE000ED08u
#define SCB_CPACR 0xE000ED88u
#define CPACR_FPU (0xFu << 20)  // full access to coprocessors 10 and 11

// The core's own exceptions; no interrupt is ever enabled.
#define EXCEPTIONS 15

// From the linker script: memory that is loaded from flash, and memory that starts as zero.
extern uint32_t kg_trained_start[], kg_trained_end[], kg_trained_load[];
extern uint32_t kg_data_start[], kg_data_end[], kg_data_load[];
extern uint32_t kg_zero_start[], kg_zero_end[];
// A part of that, or in a memory of their own.
extern uint32_t kg_tensors_start[], kg_tensors_end[];
extern uint32_t kg_code_start[], kg_code_end[], kg_code_load[];  // empty where code stays in flash

typedef struct {
    const uint32_t *stack;
    void (*handlers[EXCEPTIONS])(void);
} kg_vectors_t;

void kg_reset_entry(void);
void kg_start(void);
int main(void);

bool kg_port_ready;

__attribute__((section(".vectors"), used)) static const kg_vectors_t vectors = {
    .stack = kg_stack_top,
    .handlers = {kg_reset_entry, kg_fault_entry, kg_fault_entry, kg_fault_entry, kg_fault_entry,
                 kg_fault_entry, kg_fault_entry, kg_fault_entry, kg_fault_entry, kg_fault_entry,
                 kg_fault_entry, kg_fault_entry, kg_fault_entry, kg_fault_entry, kg_fault_entry},
};

__attribute__((weak)) void kg_chip_reset(void) {}

// Sets the stack pointer itself: a boot loader or a debugger may have jumped here with its own.
// Nothing is on the stack until kg_start.
__attribute__((naked, noreturn, used)) void kg_reset_entry(void) {
    __asm__ volatile("ldr r0, =kg_stack_top\n\t"
                     "mov sp, r0\n\t"
                     "bl kg_chip_reset\n\t"
                     "bl kg_stack_paint\n\t"
                     "bl kg_start\n\t"
                     ".ltorg");
}

static void copy(uint32_t *to, const uint32_t *end, const uint32_t *from) {
    while (to < end) {
        *to++ = *from++;
    }
}

static void zero(uint32_t *to, const uint32_t *end) {
    while (to < end) {
        *to++ = 0;
    }
}

__attribute__((noreturn, used)) void kg_start(void) {
#ifdef __ARM_FP
    kg_change(SCB_CPACR, CPACR_FPU, CPACR_FPU);
    kg_barrier();
#endif
    kg_put(SCB_VTOR, (uint32_t)&vectors);
    kg_port_ready = false;  // a fault may come before the loop below reaches it
    copy(kg_trained_start, kg_trained_end, kg_trained_load);
    copy(kg_data_start, kg_data_end, kg_data_load);
    zero(kg_zero_start, kg_zero_end);
    if (KG_TENSOR_RAM_BYTES != 0) {
        zero(kg_tensors_start, kg_tensors_end);
    }
    copy(kg_code_start, kg_code_end, kg_code_load);
    kg_barrier();
    (void)main();
    for (;;) {
        __asm__ volatile("wfi");
    }
}

void kg_port_init(void) {
    kg_chip_init();
    kg_cycles_start();
    kg_port_ready = true;
}
