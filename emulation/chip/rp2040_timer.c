// SPDX-License-Identifier: Apache-2.0
// RP2040 TIMER: 64-bit microseconds since reset (RP2040 datasheet, 4.6).
#include <stdlib.h>

#include "internal.h"

enum { TIMEHR = 0x08, TIMELR = 0x0C, TIMERAWH = 0x24, TIMERAWL = 0x28 };

static uint64_t microseconds(const kg_chip_t *chip) {
    uint64_t seconds = kg_now(chip) / chip->settings.clock_hz;
    uint64_t rest = kg_now(chip) % chip->settings.clock_hz;
    return seconds * 1000000 + rest * 1000000 / chip->settings.clock_hz;
}

static uint32_t read_timer(kg_peripheral_t *self, uint32_t offset) {
    uint32_t *latched = self->state;
    uint64_t now = microseconds(self->chip);
    switch (offset) {
    case TIMELR:
        *latched = (uint32_t)(now >> 32);
        return (uint32_t)now;
    case TIMEHR:
        return *latched;
    case TIMERAWH:
        return (uint32_t)(now >> 32);
    case TIMERAWL:
        return (uint32_t)now;
    default:
        return 0;
    }
}

// Setting the time, alarms and the pause are not modelled.
static void write_timer(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    (void)self;
    (void)offset;
    (void)value;
}

bool kg_model_rp2040_timer(kg_peripheral_t *self) {
    self->state = calloc(1, sizeof(uint32_t));
    self->read = read_timer;
    self->write = write_timer;
    return self->state != NULL;
}
