// SPDX-License-Identifier: Apache-2.0
// The host twin's port: the link runs over standard input and output.
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "port/kg_port.h"

#define BUFFER_BYTES 65536u  // of each direction; as much as a pipe holds

static struct {
    uint8_t data[BUFFER_BYTES];
    size_t next, end;
} input;

static struct {
    uint8_t data[BUFFER_BYTES];
    size_t end;
} output;

void kg_port_init(void) {}

// A reader that is gone ends the twin: nobody is left to tell.
static void flush(void) {
    for (size_t sent = 0; sent < output.end;) {
        ssize_t count = write(STDOUT_FILENO, output.data + sent, output.end - sent);
        if (count >= 0) {
            sent += (size_t)count;
        } else if (errno != EINTR) {
            exit(EXIT_FAILURE);
        }
    }
    output.end = 0;
}

// Answers go out before the twin waits, so that a peer which waits for them never waits for ever.
static void refill(void) {
    flush();
    ssize_t count;
    do {
        count = read(STDIN_FILENO, input.data, BUFFER_BYTES);
    } while (count < 0 && errno == EINTR);
    input.next = 0;
    input.end = count > 0 ? (size_t)count : 0;
}

int kg_port_read(void) {
    if (input.next == input.end) {
        refill();
    }
    return input.end == 0 ? -1 : input.data[input.next++];
}

void kg_port_write(const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        size_t room = BUFFER_BYTES - output.end;
        size_t part = bytes < room ? bytes : room;
        memcpy(output.data + output.end, data, part);
        output.end += part;
        data += part;
        bytes -= part;
        if (output.end == BUFFER_BYTES) {
            flush();
        }
    }
}

uint64_t kg_port_cycles(void) {
    return 0;
}

size_t kg_port_stack_peak(void) {
    return 0;
}
