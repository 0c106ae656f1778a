// SPDX-License-Identifier: Apache-2.0
// Clamps. The float one lets a value that is not a number through, so that a broken training shows.
#ifndef KG_OPS_CLAMP_H
#define KG_OPS_CLAMP_H

#include <stdint.h>

static inline int32_t kg_clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

static inline float kg_clampf(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

#endif
