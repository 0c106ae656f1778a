// SPDX-License-Identifier: Apache-2.0
// A model for the tests of the link: its steps are arithmetic that test_session.py does again in
// Python.
#include "kilograd/model.h"

#ifndef INPUT_BYTES
#define INPUT_BYTES 784
#endif
#define CLASSES 10
#define COUNTERS 500

// Three regions of odd sizes, so that reads and writes cross their borders.
static uint8_t small[5];
static uint8_t updates_seen;
static uint8_t counters[COUNTERS * 4 + 3];

static uint8_t input[INPUT_BYTES];
static float logits[CLASSES];

// What earlier steps have cost: the host twin has no cycles of its own.
static uint64_t step_cycles[] = {1, 0x1122334455667788, 3};

static kg_kept_tally_t tallies[] = {
    {7, 0x1122334455667788}, {1, 2}, {0, 5}, {4, 4}, {3, 9}, {6, 6}, {8, 9}};

static uint32_t input_sum(void) {
    uint32_t sum = 0;
    for (int32_t i = 0; i < INPUT_BYTES; i++) {
        sum += input[i];
    }
    return sum;
}

static void forward(const void *args, kg_training_t *training) {
    (void)args;
    uint32_t sum = input_sum();
    training->predicted = 0;
    for (int32_t i = 0; i < CLASSES; i++) {
        logits[i] = (float)((sum + 7919u * (uint32_t)i + small[i % 5]) % 101u) - 50.5f;
        if (logits[i] > logits[training->predicted]) {
            training->predicted = i;
        }
    }
    training->loss = logits[training->label] / 8.0f;
}

static void backward(const void *args, kg_training_t *training) {
    (void)args;
    uint8_t *counter = &counters[input_sum() % COUNTERS * 4u];
    counter[0] = (uint8_t)(counter[0] + training->label + 1);
    small[training->samples % 5u]++;
}

static void update(const void *args, kg_training_t *training) {
    (void)args;
    updates_seen = (uint8_t)(training->updates + 1u);
}

static const kg_step_t forward_steps[] = {{forward, NULL}};
static const kg_step_t backward_steps[] = {{backward, NULL}};
static const kg_step_t update_steps[] = {{update, NULL}};

static const kg_region_t state[] = {
    {small, sizeof small},
    {&updates_seen, 1},
    {counters, sizeof counters},
};

const kg_model_t kg_model = {
    .name = "standin",
    .id = 0xfedcba98,
    .phases = {{forward_steps, 1}, {backward_steps, 1}, {update_steps, 1}},
    .state = state,
    .state_count = 3,
    .input = input,
    .input_bytes = sizeof input,
    .logits = logits,
    .classes = CLASSES,
    .output = logits,
    .output_bytes = sizeof logits,
    .step_cycles = step_cycles,
    .tallies = tallies,
    .tally_count = 7,
};
