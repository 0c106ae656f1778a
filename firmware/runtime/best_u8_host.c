// SPDX-License-Identifier: Apache-2.0
// Recipe "best" for uint8 layers on the host: the bits of best_u8.c, in loops that compilers turn
// into vectors.
//
// Products of a uint8 error and an activation fit 16 bits, |128 * 255| < 2^15, and nothing in a
// loop depends on memory that it writes.
#include "ops/clamp.h"
#include "runtime/dither.h"
#include "runtime/gradient.h"

#define SAMPLE_STREAM 0u  // as in best_u8.c

// The top `shift` bits of a random number are (u >> down) & mask, for a shift of 0 too.
typedef struct {
    int32_t shift;
    uint32_t down, mask, u;
} rounding_t;

static rounding_t rounding_of(const kg_parameter_u8_t *p, const kg_training_t *training,
                              int32_t row, int32_t fraction) {
    uint32_t start =
        kg_dither_start(training->seed, p->matrix.stream + SAMPLE_STREAM, training->samples);
    int32_t shift = p->state->g_shift + fraction;
    return (rounding_t){.shift = shift,
                        .down = shift == 0 ? 31u : 32u - (uint32_t)shift,
                        .mask = (1u << shift) - 1u,
                        .u = kg_dither_at(start, (uint32_t)(row * p->matrix.columns))};
}

static int16_t add(int16_t g, int32_t sum, rounding_t rounding, uint32_t u) {
    int32_t dither = (int32_t)((u >> rounding.down) & rounding.mask);
    int32_t value = g + ((sum + dither) >> rounding.shift);
    return (int16_t)kg_clamp(value, INT16_MIN, INT16_MAX);
}

void kg_best_u8_add_row_host(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                             const int32_t *sums, int32_t fraction) {
    int32_t columns = p->matrix.columns;
    int16_t *restrict g = (int16_t *)p->g + (size_t)row * (size_t)columns;
    rounding_t rounding = rounding_of(p, training, row, fraction);
    uint32_t u = rounding.u;
    for (int32_t k = 0; k < columns; k++) {
        g[k] = add(g[k], sums[k], rounding, u);
        u += KG_DITHER_STEP;
    }
}

void kg_best_u8_add_outer_host(const kg_parameter_u8_t *p, const kg_training_t *training,
                               int32_t row, const uint8_t *x, int32_t e, int32_t fraction) {
    int32_t columns = p->matrix.columns;
    int16_t *restrict g = (int16_t *)p->g + (size_t)row * (size_t)columns;
    int16_t zero = (int16_t)p->quant->x_zero;
    int16_t error = (int16_t)e;
    rounding_t rounding = rounding_of(p, training, row, fraction);
    uint32_t u = rounding.u;
    if (fraction != 0) {  // e has a factor
        for (int32_t k = 0; k < columns; k++) {
            g[k] = add(g[k], e * (x[k] - zero), rounding, u);
            u += KG_DITHER_STEP;
        }
        return;
    }
    for (int32_t k = 0; k < columns; k++) {
        int16_t product = (int16_t)(error * (int16_t)(x[k] - zero));
        g[k] = add(g[k], product, rounding, u);
        u += KG_DITHER_STEP;
    }
}
