// SPDX-License-Identifier: Apache-2.0
// A main for tests of a board's port. It obeys one-letter commands and answers with one line each;
// numbers are hex.
//
//   e <byte>     echo: the byte
//   c            cycles since kg_port_init
//   w <byte>     spin for byte * 2^20 turns of a loop of at least three cycles
//   s            deepest use of the stack in bytes
//   d <byte>     use at least byte * 8 bytes of stack
//   m            memory: 1 if initialised data, zeroed data and the four sections of a model are as
//   they should be l            faults: loads from an address without memory u            faults:
//   an undefined instruction, with 0x600d in r0 o            faults: overflows the stack
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "port/kg_port.h"

#define NO_MEMORY 0x5FFFFF00u

int main(void);
uint32_t kg_probe_descend(uint32_t levels);
void kg_probe_obey(int command);

static uint32_t data[3] = {1, 2, 3};
static uint32_t zeros[3];
__attribute__((section(".kg_trained"))) static uint8_t trained[5] = {1, 2, 3, 4, 5};
__attribute__((section(".kg_gradients"))) static int32_t gradients[3];
__attribute__((section(".kg_features"))) static uint8_t features[301];
__attribute__((section(".kg_weights"))) static const uint8_t weights[7] = {7, 6, 5, 4, 3, 2, 1};

static void answer(uint64_t value) {
    uint8_t line[17];
    for (int32_t i = 15; i >= 0; i--) {
        line[i] = (uint8_t)"0123456789abcdef"[value & 15u];
        value >>= 4;
    }
    line[16] = '\n';
    kg_port_write(line, sizeof line);
}

static uint32_t sum(const uint8_t *bytes, size_t count) {
    uint32_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += ((const volatile uint8_t *)bytes)[i];
    }
    return total;
}

static bool memory_is_right(void) {
    bool loaded = sum((const uint8_t *)data, sizeof data) == 6 &&
                  sum(trained, sizeof trained) == 15 && sum(weights, sizeof weights) == 28;
    bool zero = sum((const uint8_t *)zeros, sizeof zeros) == 0 &&
                sum(features, sizeof features) == 0 &&
                sum((const uint8_t *)gradients, sizeof gradients) == 0;
    memset(features, 0x5A, sizeof features);
    memcpy(features + 1, weights, sizeof weights);
    memmove(features + 3, features + 1, 5);
    bool moved = memcmp(features, "\x5A\x07\x06\x07\x06\x05\x04\x03\x5A", 9) == 0;
    memset(features, 0, sizeof features);
    return loaded && zero && moved;
}

// Not a loop for the compiler: it works with the result of the call.
__attribute__((noinline)) uint32_t kg_probe_descend(uint32_t levels) {
    volatile uint32_t local = levels;
    return levels == 0 ? local : local + kg_probe_descend(levels - 1);
}

static void spin(uint32_t turns) {
    while (turns-- > 0) {
        __asm__ volatile("");
    }
}

static inline void undefined_instruction(void) {
    __asm__ volatile("ldr r0, =0x600d\n\tudf #0\n\t.ltorg" ::: "r0");
}

// A function of its own, so that a test knows where a fault must be.
__attribute__((noinline)) void kg_probe_obey(int command) {
    uint32_t argument =
        command == 'e' || command == 'w' || command == 'd' ? (uint32_t)kg_port_read() : 0;
    switch (command) {
    case 'e':
        answer(argument);
        break;
    case 'c':
        answer(kg_port_cycles());
        break;
    case 'w':
        spin(argument << 20);
        answer(0);
        break;
    case 's':
        answer(kg_port_stack_peak());
        break;
    case 'd':
        answer(kg_probe_descend(argument));
        break;
    case 'm':
        answer(memory_is_right());
        break;
    case 'l':
        answer(*(const volatile uint32_t *)NO_MEMORY);
        break;
    case 'u':
        undefined_instruction();
        break;
    case 'o':
        answer(kg_probe_descend(1u << 20));
        break;
    default:
        answer(UINT64_MAX);
        break;
    }
}

int main(void) {
    kg_port_init();
    kg_port_write((const uint8_t *)"probe ready\n", 12);
    for (;;) {
        kg_probe_obey(kg_port_read());
    }
}
