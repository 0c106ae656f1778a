// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers for stochastic rounding: a function of (seed, stream, tick, index),
// no state.
//
// Within one tensor and tick the numbers form a golden-ratio (Weyl) sequence from a hashed start,
// so neighbours are spread evenly, any index can be had without the ones before it, and one number
// costs one addition.
#ifndef KG_RUNTIME_DITHER_H
#define KG_RUNTIME_DITHER_H

#include <stdint.h>

#define KG_DITHER_STEP 0x9E3779B9u  // 2^32 / golden ratio
#define KG_DITHER_OUTPUT 0x30000u   // stream of the output error: no layer's

// Number of index 0. Streams are the tensors of a model, ticks the samples or updates. Finaliser of
// MurmurHash3.
static inline uint32_t kg_dither_start(uint32_t seed, uint32_t stream, uint32_t tick) {
    uint32_t hash = seed * 0x85EBCA6Bu + stream * 0xC2B2AE35u + tick * 0x27D4EB2Fu + 0x165667B1u;
    hash = (hash ^ (hash >> 16)) * 0x85EBCA6Bu;
    hash = (hash ^ (hash >> 13)) * 0xC2B2AE35u;
    return hash ^ (hash >> 16);
}

static inline uint32_t kg_dither_at(uint32_t start, uint32_t index) {
    return start + index * KG_DITHER_STEP;
}

// The top bits of a number: uniform in [0, 2^bits), 0 <= bits <= 31.
static inline int32_t kg_dither_bits(uint32_t number, int32_t bits) {
    return (int32_t)((number >> 1) >> (31 - bits));
}

#endif
