// SPDX-License-Identifier: Apache-2.0
// A model whose only step does what firmware must never do; the label of the sample says what.
#include <stdint.h>

#include "kilograd/model.h"

enum {
    BEHAVE,
    LOOP_FOREVER,
    STAND_STILL,
    WRITE_TO_FLASH,
    CALL_NOTHING,
    OVERFLOW_STACK,
    UNDEFINED,
    KINDS
};

static uint8_t input[4];
static float logits[KINDS];
static uint64_t step_cycles[1];

static __attribute__((noinline)) void loop_forever(void) {
    for (volatile uint32_t turns = 0;; turns++) {  // line: loop_forever
    }
}

static __attribute__((noinline)) void stand_still(void) {
    for (;;) {  // line: stand_still
    }
}

static __attribute__((noinline)) void write_to_flash(void) {
    volatile uint32_t *last_word = (volatile uint32_t *)(KG_FLASH_BASE + KG_FLASH_BYTES - 4u);
    *last_word = 1;  // line: write_to_flash
}

static __attribute__((noinline)) void call_nothing(void) {
    void (*volatile nothing)(void) = NULL;
    nothing();  // line: call_nothing
    input[0]++;
}

static __attribute__((noinline)) uint32_t overflow_stack(uint32_t depth) {
    volatile uint32_t room[16];
    room[depth % 16u] = depth;  // line: overflow_stack
    return depth == UINT32_MAX ? 0 : overflow_stack(depth + 1) + room[depth % 16u];
}

static __attribute__((noinline)) void run_undefined(void) {
    __asm__ volatile("udf #0");  // line: run_undefined
}

static void misbehave(const void *args, kg_training_t *training) {
    (void)args;
    switch (training->label) {
    case LOOP_FOREVER:
        loop_forever();
        break;
    case STAND_STILL:
        stand_still();
        break;
    case WRITE_TO_FLASH:
        write_to_flash();
        break;
    case CALL_NOTHING:
        call_nothing();
        break;
    case OVERFLOW_STACK:
        logits[0] = (float)overflow_stack(1);
        break;
    case UNDEFINED:
        run_undefined();
        break;
    default:
        break;
    }
}

static const kg_step_t steps[] = {{misbehave, NULL}};

const kg_model_t kg_model = {
    .name = "misbehaving",
    .phases = {{steps, 1}, {NULL, 0}, {NULL, 0}},
    .input = input,
    .input_bytes = sizeof input,
    .logits = logits,
    .classes = KINDS,
    .step_cycles = step_cycles,
};
