// SPDX-License-Identifier: Apache-2.0
// The tables that the generator prints for one model: steps, state regions, input and output.
#ifndef KILOGRAD_MODEL_H
#define KILOGRAD_MODEL_H

#include "kilograd/types.h"

// How the learning rate falls from its initial value over the planned updates (runtime/decay.h).
typedef enum {
    KG_DECAY_CONSTANT,
    KG_DECAY_COSINE,
    KG_DECAY_LINEAR,
    KG_DECAY_STEP,
    KG_DECAYS
} kg_decay_t;

// What changes while training, besides the model's own state. One object, owned by the trainer.
typedef struct {
    uint32_t seed;             // start of every stochastic rounding
    uint32_t samples;          // training samples seen
    uint32_t updates;          // weight updates done
    uint32_t planned_updates;  // over which the learning rate falls; 0: it stays
    kg_decay_t decay;
    float initial_rate;  // learning rate at update 0
    float rate;          // learning rate of the update in progress
    int32_t batch;       // samples per update
    int32_t batch_fill;  // samples accumulated since the last update
    int32_t label;       // class of the sample in the input tensor
    int32_t predicted;   // class with the largest logit
    float loss;          // of the last sample, nats
    float largest_loss;  // of the samples that sparse layers were trained on
    uint64_t lap_start;  // cycle count at the end of the last lap
} kg_training_t;

// One entry of a phase: a function and its constant arguments.
typedef struct {
    void (*run)(const void *args, kg_training_t *training);
    const void *args;
} kg_step_t;

typedef enum { KG_FORWARD, KG_BACKWARD, KG_UPDATE, KG_PHASES } kg_phase_t;

typedef struct {
    const kg_step_t *steps;
    int32_t count;
} kg_step_list_t;

// A piece of memory that training changes. All regions together, in order, are the model's state.
typedef struct {
    void *data;
    size_t bytes;
} kg_region_t;

// How many rows a sparse layer has kept, of how many that it has seen, over all samples.
typedef struct {
    uint64_t kept, rows;
} kg_kept_tally_t;

typedef struct {
    const char *name;
    uint32_t id;  // CRC-32 over the generated tables; both ends of the link compare it
    kg_step_list_t phases[KG_PHASES];
    const kg_region_t *state;
    int32_t state_count;
    void *input;  // one sample, in the layout and type of the first layer
    size_t input_bytes;
    const float *logits;  // (classes); of an autoencoder its latent means, then log-variances
    int32_t classes;
    const void *output;  // what the last layer has made of the sample, until training overwrites it
    size_t output_bytes;
    uint64_t *step_cycles;     // one accumulator per step, all phases in order
    kg_kept_tally_t *tallies;  // one for each sparse layer, from the last to the first
    int32_t tally_count;
} kg_model_t;

// Defined by the generated file.
extern const kg_model_t kg_model;

#endif
