// SPDX-License-Identifier: Apache-2.0
// The step loop.
#include "runtime/trainer.h"

#include "port/kg_port.h"
#include "runtime/decay.h"

void kg_trainer_configure(kg_training_t *training, uint32_t seed, uint32_t planned_updates,
                          int32_t batch, float initial_rate, kg_decay_t decay) {
    *training = (kg_training_t){
        .seed = seed,
        .planned_updates = planned_updates,
        .decay = decay,
        .batch = batch,
        .initial_rate = initial_rate,
    };
}

__attribute__((noinline)) void kg_trainer_lap(const kg_model_t *model, kg_training_t *training,
                                              int32_t step) {
    uint64_t now = kg_port_cycles();
    if (step >= 0) {
        model->step_cycles[step] += now - training->lap_start;
    }
    training->lap_start = now;
}

static void run_phase(const kg_model_t *model, kg_training_t *training, kg_phase_t phase) {
    int32_t number = 0;
    for (int32_t before = 0; before < (int32_t)phase; before++) {
        number += model->phases[before].count;
    }
    const kg_step_list_t *list = &model->phases[phase];
    kg_trainer_lap(model, training, -1);
    for (int32_t i = 0; i < list->count; i++) {
        list->steps[i].run(list->steps[i].args, training);
        kg_trainer_lap(model, training, number + i);
    }
}

static void update(const kg_model_t *model, kg_training_t *training) {
    training->rate = kg_decayed_rate(training);
    run_phase(model, training, KG_UPDATE);
    training->updates++;
    training->batch_fill = 0;
}

kg_status_t kg_trainer_train(const kg_model_t *model, kg_training_t *training, int32_t label) {
    if (label < 0 || label >= model->classes) {
        return KG_ERROR_RANGE;
    }
    training->label = label;
    run_phase(model, training, KG_FORWARD);
    run_phase(model, training, KG_BACKWARD);
    training->samples++;
    training->batch_fill++;
    if (training->batch_fill >= training->batch) {
        update(model, training);
    }
    return KG_OK;
}

kg_status_t kg_trainer_evaluate(const kg_model_t *model, kg_training_t *training, int32_t label) {
    if (label < 0 || label >= model->classes) {
        return KG_ERROR_RANGE;
    }
    training->label = label;
    run_phase(model, training, KG_FORWARD);
    return KG_OK;
}
