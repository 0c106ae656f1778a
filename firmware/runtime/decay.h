// SPDX-License-Identifier: Apache-2.0
// How the learning rate falls over a run whose length is known.
#ifndef KG_RUNTIME_DECAY_H
#define KG_RUNTIME_DECAY_H

#include "kilograd/model.h"

// The rate of the update in turn, with done = updates / planned updates, at most 1:
//
//   constant: rate          cosine: rate * (1 + cos(pi done)) / 2          linear: rate * (1 -
//   done) step: rate, from done = 1/2 on rate / 10, from done = 3/4 on rate / 100
//
// Without a plan (0 updates) the rate is constant.
float kg_decayed_rate(const kg_training_t *training);

#endif
