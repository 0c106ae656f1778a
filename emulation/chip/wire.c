// SPDX-License-Identifier: Apache-2.0
// The wire between host and UART: bytes in, bytes out, and when the firmware only waits.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define OUTPUT_ROOM 65536u
#define IDLE_POLLS 64u  // of an empty receiver, nothing sent between them: it waits for input

bool kg_chip_send(kg_chip_t *chip, const uint8_t *data, size_t bytes) {
    kg_wire_t *wire = &chip->wire;
    size_t waiting = wire->input_bytes - wire->input_next;
    if (wire->input_next > 0) {
        memmove(wire->input, wire->input + wire->input_next, waiting);
    }
    wire->input_next = 0;
    wire->input_bytes = waiting;
    if (waiting + bytes > wire->input_room) {
        size_t room = 2 * (waiting + bytes);
        uint8_t *larger = realloc(wire->input, room);
        if (larger == NULL) {
            return false;
        }
        wire->input = larger;
        wire->input_room = room;
    }
    memcpy(wire->input + waiting, data, bytes);
    wire->input_bytes += bytes;
    return true;
}

size_t kg_chip_receive(kg_chip_t *chip, uint8_t *data, size_t bytes) {
    kg_wire_t *wire = &chip->wire;
    size_t taken = bytes < wire->output_bytes ? bytes : wire->output_bytes;
    if (taken > 0) {
        memcpy(data, wire->output, taken);
        memmove(wire->output, wire->output + taken, wire->output_bytes - taken);
        wire->output_bytes -= taken;
    }
    return taken;
}

bool kg_wire_empty(const kg_chip_t *chip) {
    return chip->wire.input_next == chip->wire.input_bytes;
}

uint8_t kg_wire_take(kg_chip_t *chip) {
    chip->wire.idle_polls = 0;
    return chip->wire.input[chip->wire.input_next++];
}

// Full output ends the run before the next block; the bytes until then find room in the second
// half.
void kg_wire_put(kg_chip_t *chip, uint8_t byte) {
    kg_wire_t *wire = &chip->wire;
    wire->idle_polls = 0;
    if (wire->output == NULL) {
        wire->output = malloc(2 * OUTPUT_ROOM);
    }
    if (wire->output != NULL && wire->output_bytes < 2 * OUTPUT_ROOM) {
        wire->output[wire->output_bytes++] = byte;
    }
    if (wire->output_bytes >= OUTPUT_ROOM) {
        kg_stop(chip, KG_SLICE);
    }
}

void kg_wire_idle_poll(kg_chip_t *chip) {
    if (++chip->wire.idle_polls >= IDLE_POLLS) {
        chip->wire.idle_polls = 0;
        kg_stop(chip, KG_WAITING);
    }
}

void kg_wire_free(kg_chip_t *chip) {
    free(chip->wire.input);
    free(chip->wire.output);
}
