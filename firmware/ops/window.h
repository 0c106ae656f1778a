// SPDX-License-Identifier: Apache-2.0
// Where a sliding window meets a map: ranges of taps and of output positions, without divisions.
#ifndef KG_OPS_WINDOW_H
#define KG_OPS_WINDOW_H

#include <stdint.h>

// All p with first <= p < end; empty if end <= first.
typedef struct {
    int32_t first, end;
} kg_range_t;

// The taps of a window that lie inside a map of `size`; the window's tap 0 is at map position
// `start` (negative: in the padding).
static inline kg_range_t kg_taps_inside(int32_t start, int32_t kernel, int32_t size) {
    kg_range_t taps;
    taps.first = start < 0 ? -start : 0;
    taps.end = size - start < kernel ? size - start : kernel;
    return taps;
}

// The output positions p, of count, whose element p * stride + start lies inside a map of `size`.
static inline kg_range_t kg_outputs_inside(int32_t start, int32_t stride, int32_t size,
                                           int32_t count) {
    kg_range_t outputs = {0, count};
    while (outputs.first < outputs.end && outputs.first * stride + start < 0) {
        outputs.first++;
    }
    while (outputs.first < outputs.end && (outputs.end - 1) * stride + start >= size) {
        outputs.end--;
    }
    return outputs;
}

// Moves a range of output positions on to those whose window holds `position` (counted from the
// start of the padding). Start with {0, 0} and pass ascending positions. `count` is the number of
// outputs.
static inline void kg_readers_advance(kg_range_t *outputs, int32_t position, int32_t kernel,
                                      int32_t stride, int32_t count) {
    while (outputs->end < count && outputs->end * stride <= position) {
        outputs->end++;
    }
    while (outputs->first < outputs->end && outputs->first * stride + kernel <= position) {
        outputs->first++;
    }
}

#endif
