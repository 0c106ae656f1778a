// SPDX-License-Identifier: Apache-2.0
// Counter-based normal numbers: a function of (seed, stream, tick, index) with the same bits on
// every core, no state.
#ifndef KG_RUNTIME_NORMAL_H
#define KG_RUNTIME_NORMAL_H

#include "kilograd/types.h"

// A number of mean 0 and variance 1; its magnitude stays below 5.8.
float kg_normal(uint32_t seed, uint32_t stream, uint32_t tick, uint32_t index);

#endif
