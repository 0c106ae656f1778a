// SPDX-License-Identifier: Apache-2.0
// The smallest model: one forward step, one trained weight array, two classes. It has something in
// every section.
#include "kilograd/model.h"

// Tests change these two numbers to make it larger.
#define FEATURES 256
#define WEIGHTS 128

static void step(const void *args, kg_training_t *training);

__attribute__((section(".kg_trained"))) static int8_t trained[60] = {1, 2, 3};
__attribute__((section(".kg_gradients"))) static int32_t gradients[50];
__attribute__((section(".kg_features"))) static uint8_t features[FEATURES];
__attribute__((section(".kg_weights"))) static const int8_t weights[WEIGHTS] = {4, 5, 6};
static float logits[2];
static uint64_t step_cycles[1];

static void step(const void *args, kg_training_t *training) {
    const volatile int8_t *w = args;
    for (int32_t i = 0; i < 50; i++) {
        gradients[i] += training->label + trained[i] + w[i] + features[i];
    }
    logits[0] = (float)gradients[0];
}

static const kg_step_t steps[] = {{step, weights}};
static const kg_region_t state[] = {{trained, sizeof trained}, {gradients, sizeof gradients}};

const kg_model_t kg_model = {
    .name = "smallest",
    .id = 0x12345678u,
    .phases = {{steps, 1}, {NULL, 0}, {NULL, 0}},
    .state = state,
    .state_count = 2,
    .input = features,
    .input_bytes = 16,
    .logits = logits,
    .classes = 2,
    .step_cycles = step_cycles,
};
