// SPDX-License-Identifier: Apache-2.0
// A convolution, or its input gradient, as the host calculates it from uint8: every source value
// that is not zero spreads over the positions that read it, each time its vector of weights.
//
// The lanes of a vector are the channels of the result. Floats do the work where whole numbers are
// exact in them, below 2^24; the sums are int32.
#ifndef KG_OPS_CONV2D_SPREAD_HOST_H
#define KG_OPS_CONV2D_SPREAD_HOST_H

#include <stdbool.h>

#include "ops/dims.h"
#include "ops/kept.h"
#include "ops/matmul_host.h"

// One axis: source positions to target positions. Backward, source position s spreads to target
// s * stride - pad under tap 0, and so on; forward it is the other way round.
typedef struct {
    int32_t source, target;
    int32_t kernel, stride, pad;
    bool backward;
} kg_axis_t;

// The target positions that read one source position, ascending: position first + j under tap
// tap + j * step. The weights of the taps of its phase, `taps` in all, stand together, from place
// `place` on; the first tap inside the map is number `skip` of them.
typedef struct {
    int32_t first, count;
    int32_t tap, step;
    int32_t place, taps, skip;
} kg_reach_t;

typedef struct {
    kg_axis_t rows, cols;
    int32_t channels;      // of the source, in one group
    int32_t outs;          // channels of the target, in one group
    int32_t lanes;         // outs, rounded up to whole vectors
    int32_t exact;         // so many products stay below 2^24 together
    kg_factor_t *factors;  // (channels): those of one source position that are not zero
    kg_reach_t *reach;     // (cols.source)
    float *weights;        // (kernel rows, phases of columns: (channels, taps of the phase, lanes))
    int32_t *lines;        // (rows.target, cols.target, lanes)
    int32_t *sums;         // (outs, rows.target, cols.target)
} kg_spread_t;

// Lays the work on one group out in scratch; returns the bytes it takes (scratch may be NULL to ask
// for that only).
size_t kg_spread_forward(const kg_conv_dims_t *dims, kg_spread_t *spread, void *scratch);
size_t kg_spread_backward(const kg_conv_dims_t *dims, kg_spread_t *spread, void *scratch);

// Brings the weights less `zero` of one group, (output channels, input channels, kernel), into
// order.
void kg_spread_weights(kg_spread_t *spread, const uint8_t *w, int32_t zero);

// Calculates all sums from maps of values less `zero`; channel j of the source is map rows[j].row,
// its values times rows[j].factor.
void kg_spread_run(const kg_spread_t *spread, const uint8_t *maps, int32_t zero,
                   const kg_kept_t *kept, int32_t first_map);

#endif
