// SPDX-License-Identifier: Apache-2.0
// A convolution, or its input gradient, as the host calculates it from uint8: every position gathers
// the source values under its window that are not zero, each times its vector of weights.
//
// The lanes of a vector are the channels of the result. Floats do the work: whole numbers below 2^24
// are exact, and longer sums continue in int32.
#ifndef KG_OPS_CONV2D_GATHER_HOST_H
#define KG_OPS_CONV2D_GATHER_HOST_H

#include <stdbool.h>

#include "ops/dims.h"
#include "ops/kept.h"
#include "ops/matmul_host.h"

// One axis: source positions to target positions. Forward, target t reads source t * stride - pad
// under tap 0, and so on; backward it is the other way round.
typedef struct {
    int32_t source, target;
    int32_t kernel, stride, pad;
    bool backward;
} kg_axis_t;

// The source positions that one target position reads, ascending: position first + j under tap
// tap + j * step. place: where the first of these taps is among the weights of its row.
typedef struct {
    int32_t first, count;
    int32_t tap, step;
    int32_t place;
} kg_reach_t;

typedef struct {
    kg_axis_t rows, cols;
    int32_t channels;      // of the source, in one group
    int32_t outs;          // channels of the target, in one group
    int32_t lanes;         // outs, rounded up to whole vectors
    int32_t exact;         // so many products stay below 2^24 together
    kg_factor_t *factors;  // values that are not zero, in the order of (row, column, channel)
    int32_t *starts;       // (rows.source * cols.source + 1): of a position's factors
    kg_reach_t *reach;     // (cols.target)
    float *weights;        // (kernel rows, kernel columns by place, channels, lanes)
    int32_t *line;         // (cols.target, lanes): sums of one row
    int32_t *sums;         // (outs, rows.target, cols.target)
} kg_gather_t;

// Lays the work on one group out in scratch; returns the bytes it takes (scratch may be NULL to ask
// for that only).
size_t kg_gather_forward(const kg_conv_dims_t *dims, kg_gather_t *gather, void *scratch);
size_t kg_gather_backward(const kg_conv_dims_t *dims, kg_gather_t *gather, void *scratch);

// Lists the values less `zero`: of all channels of x, or of the kept output channels of the group,
// times their factors.
void kg_gather_list_x(kg_gather_t *gather, const uint8_t *x, int32_t zero);
void kg_gather_list_e(kg_gather_t *gather, const uint8_t *e, int32_t group, const kg_kept_t *kept);

// Brings the weights less `zero` of one group, (output channels, input channels, kernel), into order.
void kg_gather_weights(kg_gather_t *gather, const uint8_t *w, int32_t zero);

// Calculates all sums.
void kg_gather_run(const kg_gather_t *gather);

#endif
