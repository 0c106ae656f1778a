// SPDX-License-Identifier: Apache-2.0
// Spreads the values of uint8 convolutions and input gradients that are not zero.
#include "ops/conv2d_spread_host.h"

#include <string.h>

#define MOST_VECTORS 6  // of sums that one pass over the factors carries

// How many taps of `kernel` a phase has that starts at tap b.
static int32_t phase_taps(const kg_axis_t *axis, int32_t b) {
    return b < axis->kernel ? (axis->kernel - 1 - b) / axis->stride + 1 : 0;
}

// Where the taps of phase b begin, when the phases stand one behind the other.
static int32_t phase_place(const kg_axis_t *axis, int32_t b) {
    int32_t place = 0;
    for (int32_t before = 0; before < b; before++) {
        place += phase_taps(axis, before);
    }
    return place;
}

static kg_reach_t reach_of(const kg_axis_t *axis, int32_t source) {
    kg_reach_t reach = {.first = source * axis->stride - axis->pad,
                        .count = axis->kernel,
                        .step = 1,
                        .taps = axis->kernel};
    if (!axis->backward) {
        int32_t b = (source + axis->pad) % axis->stride;
        int32_t taps = phase_taps(axis, b);
        reach = (kg_reach_t){.first = (source + axis->pad) / axis->stride - taps + 1,
                             .count = taps,
                             .tap = b + (taps - 1) * axis->stride,
                             .step = -axis->stride,
                             .place = phase_place(axis, b),
                             .taps = taps};
    }
    if (reach.first < 0) {
        reach.skip = -reach.first;
        reach.tap += reach.skip * reach.step;
        reach.count -= reach.skip;
        reach.first = 0;
    }
    if (reach.first + reach.count > axis->target) {
        reach.count = axis->target - reach.first;
    }
    return reach;
}

// Takes room for count elements behind what is used; every part begins at a multiple of 8 bytes.
static void *take(char *scratch, size_t *used, int32_t count, size_t bytes) {
    void *part = scratch == NULL ? NULL : scratch + *used;
    *used += ((size_t)count * bytes + 7) / 8 * 8;
    return part;
}

static size_t lay_out(kg_spread_t *spread, char *scratch) {
    size_t used = 0;
    int32_t targets = spread->rows.target * spread->cols.target;
    int32_t taps = spread->rows.kernel * spread->cols.kernel;
    spread->lanes = kg_round_up(spread->outs, KG_VECTOR_LANES);
    spread->factors = take(scratch, &used, spread->channels + 1, sizeof(kg_factor_t));
    spread->reach = take(scratch, &used, spread->cols.source, sizeof(kg_reach_t));
    spread->weights = take(scratch, &used, taps * spread->channels * spread->lanes, sizeof(float));
    spread->lines = take(scratch, &used, targets * spread->lanes, sizeof(int32_t));
    spread->sums = take(scratch, &used, targets * spread->outs, sizeof(int32_t));
    return used;
}

size_t kg_spread_forward(const kg_conv_dims_t *dims, kg_spread_t *spread, void *scratch) {
    spread->rows = (kg_axis_t){dims->in_height,     dims->out_height, dims->kernel_height,
                               dims->stride_height, dims->pad_top,    false};
    spread->cols = (kg_axis_t){dims->in_width,     dims->out_width, dims->kernel_width,
                               dims->stride_width, dims->pad_left,  false};
    spread->channels = kg_conv_group_inputs(dims);
    spread->outs = kg_conv_group_outputs(dims);
    spread->exact = KG_EXACT_PRODUCTS;
    return lay_out(spread, scratch);
}

size_t kg_spread_backward(const kg_conv_dims_t *dims, kg_spread_t *spread, void *scratch) {
    spread->rows = (kg_axis_t){dims->out_height,    dims->in_height, dims->kernel_height,
                               dims->stride_height, dims->pad_top,   true};
    spread->cols = (kg_axis_t){dims->out_width,    dims->in_width, dims->kernel_width,
                               dims->stride_width, dims->pad_left, true};
    spread->channels = kg_conv_group_outputs(dims);
    spread->outs = kg_conv_group_inputs(dims);
    spread->exact = KG_EXACT_ERRORS;
    return lay_out(spread, scratch);
}

// Brings the weights of the taps of one phase, v = tap + j * step, of kernel row u into order.
static void phase_weights(kg_spread_t *spread, const uint8_t *w, int32_t zero, int32_t u,
                          kg_reach_t phase) {
    int32_t taps = spread->rows.kernel * spread->cols.kernel;
    bool backward = spread->rows.backward;
    int32_t channel_step = backward ? taps * spread->outs : taps;
    int32_t lane_step = backward ? taps : taps * spread->channels;
    int32_t place = (u * spread->cols.kernel + phase.place) * spread->channels;
    float *to = spread->weights + place * spread->lanes;
    for (int32_t i = 0; i < spread->channels; i++) {
        for (int32_t j = 0; j < phase.taps; j++, to += spread->lanes) {
            int32_t v = phase.tap + j * phase.step;
            const uint8_t *from = w + i * channel_step + u * spread->cols.kernel + v;
            for (int32_t lane = 0; lane < spread->lanes; lane++) {
                to[lane] = lane < spread->outs ? (float)(from[lane * lane_step] - zero) : 0.0f;
            }
        }
    }
}

void kg_spread_weights(kg_spread_t *spread, const uint8_t *w, int32_t zero) {
    kg_axis_t endless = spread->cols;  // nothing is outside of it: all taps of each phase
    int32_t phases = endless.backward ? 1 : endless.stride;
    endless.target = INT32_MAX;
    for (int32_t u = 0; u < spread->rows.kernel; u++) {
        for (int32_t b = 0; b < phases; b++) {
            endless.pad = endless.backward ? 0 : endless.kernel * endless.stride;
            phase_weights(spread, w, zero, u, reach_of(&endless, b));
        }
    }
}

typedef int32_t integers_t __attribute__((vector_size(32), aligned(4), may_alias));

// to[j] += the factors times their vectors of weights.
static inline void add_vectors(const kg_factor_t *factors, int32_t count, const float *weights,
                               int32_t vectors, int32_t *to) {
    kg_vector_t sums[MOST_VECTORS] = {0};
    for (int32_t k = 0; k < count; k++) {
        const kg_vector_t *w = (const kg_vector_t *)(weights + factors[k].offset);
        for (int32_t j = 0; j < vectors; j++) {
            sums[j] += factors[k].value * w[j];
        }
    }
    for (int32_t j = 0; j < vectors; j++) {
        ((integers_t *)to)[j] += __builtin_convertvector(sums[j], integers_t);
    }
}

static void add_run(const kg_factor_t *factors, int32_t count, const float *weights,
                    int32_t vectors, int32_t *to) {
    for (; vectors >= MOST_VECTORS; vectors -= MOST_VECTORS) {
        add_vectors(factors, count, weights, MOST_VECTORS, to);
        weights += MOST_VECTORS * KG_VECTOR_LANES;
        to += MOST_VECTORS * KG_VECTOR_LANES;
    }
    switch (vectors) {
    case 1:
        add_vectors(factors, count, weights, 1, to);
        break;
    case 2:
        add_vectors(factors, count, weights, 2, to);
        break;
    case 3:
        add_vectors(factors, count, weights, 3, to);
        break;
    case 4:
        add_vectors(factors, count, weights, 4, to);
        break;
    case 5:
        add_vectors(factors, count, weights, 5, to);
        break;
    default:
        break;
    }
}

// Lists the channels of one source position whose value is not zero; at: the position in each map.
static int32_t list_channels(const kg_spread_t *spread, const uint8_t *at, int32_t zero,
                             kg_kept_range_t range, int32_t offset_step) {
    int32_t plane = spread->rows.source * spread->cols.source;
    kg_factor_t *restrict end = spread->factors;
    at += range.first * plane;
    for (int32_t j = range.first, offset = 0; j < range.end; j++, offset += offset_step) {
        int32_t value = *at - zero;
        *end = (kg_factor_t){offset, (float)value};
        end += value != 0;
        at += plane;
    }
    return (int32_t)(end - spread->factors);
}

// The same for kept channels, their values times their factors.
static int32_t list_kept(const kg_spread_t *spread, const uint8_t *at, int32_t zero,
                         const kg_kept_t *kept, int32_t first_map, int32_t offset_step) {
    int32_t plane = spread->rows.source * spread->cols.source;
    kg_kept_range_t range = kg_kept_between(kept, first_map, first_map + spread->channels);
    kg_factor_t *restrict end = spread->factors;
    for (int32_t j = range.first; j < range.end; j++) {
        kg_kept_row_t row = kept->rows[j];
        int32_t value = (at[row.row * plane] - zero) * row.factor;
        *end = (kg_factor_t){(row.row - first_map) * offset_step, (float)value};
        end += value != 0;
    }
    return (int32_t)(end - spread->factors);
}

// Spreads the listed channels of a source position.
static void spread_position(const kg_spread_t *spread, kg_reach_t rows, kg_reach_t cols,
                            int32_t count) {
    int32_t pitch = spread->cols.target * spread->lanes;
    int32_t *to = spread->lines + rows.first * pitch + cols.first * spread->lanes;
    int32_t vectors = cols.count * spread->lanes / KG_VECTOR_LANES;
    for (int32_t j = 0; j < rows.count; j++, to += pitch) {
        int32_t u = rows.tap + j * rows.step;
        int32_t place = (u * spread->cols.kernel + cols.place) * spread->channels + cols.skip;
        const float *weights = spread->weights + place * spread->lanes;
        for (int32_t first = 0; first < count; first += spread->exact) {
            int32_t part = count - first < spread->exact ? count - first : spread->exact;
            add_run(spread->factors + first, part, weights, vectors, to);
        }
    }
}

// Brings the lines, (positions, lanes), into the order of maps, eight positions at a time.
static void store_sums(const kg_spread_t *spread) {
    int32_t targets = spread->rows.target * spread->cols.target;
    int32_t lanes = spread->lanes, outs = spread->outs;
    const int32_t *restrict from = spread->lines;
    int32_t *restrict to = spread->sums;
    int32_t at = 0;
    for (; at + 8 <= targets; at += 8, from += 8 * lanes) {
        for (int32_t lane = 0; lane < outs; lane++) {
            for (int32_t k = 0; k < 8; k++) {
                to[lane * targets + at + k] = from[k * lanes + lane];
            }
        }
    }
    for (; at < targets; at++, from += lanes) {
        for (int32_t lane = 0; lane < outs; lane++) {
            to[lane * targets + at] = from[lane];
        }
    }
}

void kg_spread_run(const kg_spread_t *spread, const uint8_t *maps, int32_t zero,
                   const kg_kept_t *kept, int32_t first_map) {
    kg_kept_range_t all = {first_map, first_map + spread->channels};
    int32_t width = spread->cols.source;
    for (int32_t c = 0; c < width; c++) {
        spread->reach[c] = reach_of(&spread->cols, c);
    }
    memset(spread->lines, 0,
           (size_t)(spread->rows.target * spread->cols.target * spread->lanes) * sizeof(int32_t));
    for (int32_t r = 0; r < spread->rows.source; r++) {
        kg_reach_t rows = reach_of(&spread->rows, r);
        for (int32_t c = 0; c < width; c++, maps++) {
            kg_reach_t cols = spread->reach[c];
            int32_t step = cols.taps * spread->lanes;
            int32_t count = kept == NULL ? list_channels(spread, maps, zero, all, step)
                                         : list_kept(spread, maps, zero, kept, first_map, step);
            if (count > 0) {
                spread_position(spread, rows, cols, count);
            }
        }
    }
    store_sums(spread);
}
