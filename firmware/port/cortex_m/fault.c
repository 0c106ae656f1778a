// SPDX-License-Identifier: Apache-2.0
// Every exception ends here: its registers go out over the UART as text, then the core stops.
#include <stdbool.h>
#include <stdint.h>

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"
#include "port/kg_port.h"

#define SCB_CFSR 0xE000ED28u
#define SCB_HFSR 0xE000ED2Cu
#define SCB_MMFAR 0xE000ED34u
#define SCB_BFAR 0xE000ED38u

#define PSR_STACK_ALIGNED (1u << 9)   // the core left a gap of 4 bytes above the frame
#define RETURN_BASIC_FRAME (1u << 4)  // of EXC_RETURN: no floating-point registers in the frame
#define FLOAT_FRAME_BYTES 72u

// What the core pushes on an exception.
typedef struct {
    uint32_t r0, r1, r2, r3, r12, lr, pc, psr;
} kg_frame_t;

void kg_fault(const kg_frame_t *frame, uint32_t exception_return);

// Calls kg_fault(sp, lr), on a fresh stack if less than 256 bytes are left of the present one.
__attribute__((naked, used)) void kg_fault_entry(void) {
    __asm__ volatile("mov r0, sp\n\t"
                     "mov r1, lr\n\t"
                     "ldr r2, =kg_stack_start + 256\n\t"
                     "ldr r3, =kg_stack_top\n\t"
                     "cmp r0, r2\n\t"
                     "blo 1f\n\t"
                     "cmp r0, r3\n\t"
                     "bls 2f\n\t"
                     "1: mov sp, r3\n\t"
                     "2: bl kg_fault\n\t"
                     ".ltorg");
}

static void print(const char *text) {
    size_t bytes = 0;
    while (text[bytes] != '\0') {
        bytes++;
    }
    kg_port_write((const uint8_t *)text, bytes);
}

// " name=0x0123abcd"
static void print_value(const char *name, uint32_t value) {
    uint8_t digits[8];
    for (int32_t i = 7; i >= 0; i--) {
        digits[i] = (uint8_t)"0123456789abcdef"[value & 15u];
        value >>= 4;
    }
    print(" ");
    print(name);
    print("=0x");
    kg_port_write(digits, sizeof digits);
}

static const char *exception_name(void) {
    static const char *const names[] = {"Thread",    "Reset",    "NMI",       "HardFault",
                                        "MemManage", "BusFault", "UsageFault"};
    uint32_t number;
    __asm__ volatile("mrs %0, ipsr" : "=r"(number));
    return number < sizeof names / sizeof names[0] ? names[number] : "Exception";
}

static bool in_stack(const kg_frame_t *frame) {
    return (uint32_t)frame >= (uint32_t)kg_stack_start &&
           (uint32_t)(frame + 1) <= (uint32_t)kg_stack_top;
}

static void print_frame(const kg_frame_t *frame, uint32_t exception_return) {
    uint32_t sp = (uint32_t)(frame + 1);
    sp += (exception_return & RETURN_BASIC_FRAME) != 0 ? 0 : FLOAT_FRAME_BYTES;
    sp += (frame->psr & PSR_STACK_ALIGNED) != 0 ? 4 : 0;
    print_value("pc", frame->pc);
    print_value("lr", frame->lr);
    print_value("sp", sp);
    print_value("psr", frame->psr);
    print("\nFAULT");
    print_value("r0", frame->r0);
    print_value("r1", frame->r1);
    print_value("r2", frame->r2);
    print_value("r3", frame->r3);
    print_value("r12", frame->r12);
}

static void print_causes(void) {
#if __ARM_ARCH >= 7
    print("\nFAULT");
    print_value("cfsr", kg_get(SCB_CFSR));
    print_value("hfsr", kg_get(SCB_HFSR));
    print_value("mmfar", kg_get(SCB_MMFAR));
    print_value("bfar", kg_get(SCB_BFAR));
#endif
}

__attribute__((noreturn, used)) void kg_fault(const kg_frame_t *frame, uint32_t exception_return) {
    if (!kg_port_ready) {
        kg_port_init();
    }
    print("\nFAULT ");
    print(exception_name());
    if (in_stack(frame)) {
        print_frame(frame, exception_return);
    } else {
        print_value("sp", (uint32_t)frame);
        print(" outside the stack");
    }
    print_causes();
    print("\n");
    for (;;) {
        __asm__ volatile("bkpt #0");
    }
}
