// SPDX-License-Identifier: Apache-2.0
// A main that calls any function on a board: a test puts arguments into its memory and reads
// results from there. Numbers on the link are words, the lowest byte first.
//
//   w <address> <bytes> <that many bytes>   write memory
//   c <function> <arguments>                call kg_probe_functions[function]; answers its result
#include <stdint.h>

#include "port/kg_port.h"

#define ARGUMENTS 12  // more than any kernel has: what is left over hurts nobody

typedef int32_t function_t(int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t,
                           int32_t, int32_t, int32_t, int32_t);

int main(void);
extern function_t *const kg_probe_functions[];

uint8_t kg_probe_memory[192 * 1024] __attribute__((aligned(8)));

static int32_t read_word(void) {
    uint32_t word = 0;
    for (int32_t shift = 0; shift < 32; shift += 8) {
        word |= (uint32_t)kg_port_read() << shift;
    }
    return (int32_t)word;
}

static void write_memory(void) {
    uint8_t *to = kg_probe_memory + read_word();
    for (int32_t bytes = read_word(); bytes > 0; bytes--) {
        *to++ = (uint8_t)kg_port_read();
    }
}

static void call_function(void) {
    function_t *function = kg_probe_functions[read_word()];
    int32_t a[ARGUMENTS];
    for (int32_t i = 0; i < ARGUMENTS; i++) {
        a[i] = read_word();
    }
    int32_t result =
        function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
    kg_port_write((const uint8_t *)&result, sizeof result);
}

int main(void) {
    kg_port_init();
    for (;;) {
        int command = kg_port_read();
        if (command == 'w') {
            write_memory();
        } else if (command == 'c') {
            call_function();
        }
    }
}
