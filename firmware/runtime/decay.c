// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules without tables: once per update, a few operations and at most one cosine.
#include "runtime/decay.h"

#include "runtime/math.h"

float kg_decayed_rate(const kg_training_t *training) {
    float rate = training->initial_rate;
    if (training->planned_updates == 0) {
        return rate;
    }
    float done = kg_minf((float)training->updates / (float)training->planned_updates, 1.0f);
    switch (training->decay) {
    case KG_DECAY_COSINE:
        return rate * 0.5f * (1.0f + kg_cos_pi(done));
    case KG_DECAY_LINEAR:
        return rate * (1.0f - done);
    case KG_DECAY_STEP:
        return done < 0.5f ? rate : rate * (done < 0.75f ? 0.1f : 0.01f);
    case KG_DECAY_CONSTANT:
    case KG_DECAYS:
        break;
    }
    return rate;
}
