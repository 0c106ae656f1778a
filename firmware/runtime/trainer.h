// SPDX-License-Identifier: Apache-2.0
// The step loop: runs a model's tables for one sample, and the update when a minibatch is full.
#ifndef KG_RUNTIME_TRAINER_H
#define KG_RUNTIME_TRAINER_H

#include "kilograd/model.h"

// Starts a run: counters to zero, gradients of a half-filled batch stay. batch >= 1.
void kg_trainer_configure(kg_training_t *training, uint32_t seed, uint32_t planned_updates,
                          int32_t batch, float initial_rate, kg_decay_t decay);

// Trains on the sample in model->input. Sets training->loss and ->predicted.
kg_status_t kg_trainer_train(const kg_model_t *model, kg_training_t *training, int32_t label);

// Forward pass only; changes no state.
kg_status_t kg_trainer_evaluate(const kg_model_t *model, kg_training_t *training, int32_t label);

// Ends the lap of one step (numbered through all phases): adds the cycles since the last call to
// its accumulator. step -1 only starts the clock. The virtual chip watches this symbol to count
// instructions per step, so it stays a real, non-inlined function with the step in the third
// argument.
void kg_trainer_lap(const kg_model_t *model, kg_training_t *training, int32_t step);

#endif
