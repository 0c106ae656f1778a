// SPDX-License-Identifier: Apache-2.0
// Gathers the sums of uint8 convolutions and input gradients from lists of values that are not zero.
#include "ops/conv2d_gather_host.h"

#include <string.h>

#include "ops/error.h"

#define MOST_VECTORS 6  // of sums that one pass over the lists carries

// How many taps of `kernel` a phase has that starts at tap b.
static int32_t phase_taps(const kg_axis_t *axis, int32_t b) {
    return b < axis->kernel ? (axis->kernel - 1 - b) / axis->stride + 1 : 0;
}

// Where the taps of a phase begin, when the phases stand one behind the other.
static int32_t phase_place(const kg_axis_t *axis, int32_t b) {
    int32_t place = 0;
    for (int32_t before = 0; before < b; before++) {
        place += phase_taps(axis, before);
    }
    return place;
}

// Backward, the taps of a phase stand in the order of the errors they meet: from the last to the
// first.
static int32_t place_of(const kg_axis_t *axis, int32_t tap) {
    if (!axis->backward) {
        return tap;
    }
    int32_t b = tap % axis->stride;
    return phase_place(axis, b) + phase_taps(axis, b) - 1 - tap / axis->stride;
}

static kg_reach_t reach_of(const kg_axis_t *axis, int32_t target) {
    kg_reach_t reach = {target * axis->stride - axis->pad, axis->kernel, 0, 1, 0};
    if (axis->backward) {
        int32_t b = (target + axis->pad) % axis->stride;
        int32_t taps = phase_taps(axis, b);
        reach = (kg_reach_t){.first = (target + axis->pad) / axis->stride - taps + 1,
                             .count = taps,
                             .tap = b + (taps - 1) * axis->stride,
                             .step = -axis->stride,
                             .place = phase_place(axis, b)};
    }
    if (reach.first < 0) {
        reach.tap -= reach.first * reach.step;
        reach.place -= reach.first;
        reach.count += reach.first;
        reach.first = 0;
    }
    if (reach.first + reach.count > axis->source) {
        reach.count = axis->source - reach.first;
    }
    return reach;
}

// Takes room for count elements behind what is used; every part begins at a multiple of 8 bytes.
static void *take(char *scratch, size_t *used, int32_t count, size_t bytes) {
    void *part = scratch == NULL ? NULL : scratch + *used;
    *used += ((size_t)count * bytes + 7) / 8 * 8;
    return part;
}

static size_t lay_out(kg_gather_t *gather, char *scratch) {
    size_t used = 0;
    int32_t plane = gather->rows.source * gather->cols.source;
    int32_t results = gather->outs * gather->rows.target * gather->cols.target;
    int32_t taps = gather->rows.kernel * gather->cols.kernel;
    gather->lanes = kg_round_up(gather->outs, KG_VECTOR_LANES);
    gather->factors = take(scratch, &used, plane * gather->channels + 1, sizeof(kg_factor_t));
    gather->starts = take(scratch, &used, plane + 1, sizeof(int32_t));
    gather->reach = take(scratch, &used, gather->cols.target, sizeof(kg_reach_t));
    gather->weights =
        take(scratch, &used, taps * gather->channels * gather->lanes, sizeof(float));
    gather->line = take(scratch, &used, gather->cols.target * gather->lanes, sizeof(int32_t));
    gather->sums = take(scratch, &used, results, sizeof(int32_t));
    return used;
}

size_t kg_gather_forward(const kg_conv_dims_t *dims, kg_gather_t *gather, void *scratch) {
    gather->rows = (kg_axis_t){dims->in_height,     dims->out_height, dims->kernel_height,
                               dims->stride_height, dims->pad_top,    false};
    gather->cols = (kg_axis_t){dims->in_width,     dims->out_width, dims->kernel_width,
                               dims->stride_width, dims->pad_left,  false};
    gather->channels = kg_conv_group_inputs(dims);
    gather->outs = kg_conv_group_outputs(dims);
    gather->exact = KG_EXACT_PRODUCTS;
    return lay_out(gather, scratch);
}

size_t kg_gather_backward(const kg_conv_dims_t *dims, kg_gather_t *gather, void *scratch) {
    gather->rows = (kg_axis_t){dims->out_height,    dims->in_height, dims->kernel_height,
                               dims->stride_height, dims->pad_top,   true};
    gather->cols = (kg_axis_t){dims->out_width,    dims->in_width, dims->kernel_width,
                               dims->stride_width, dims->pad_left, true};
    gather->channels = kg_conv_group_outputs(dims);
    gather->outs = kg_conv_group_inputs(dims);
    gather->exact = KG_EXACT_ERRORS;
    return lay_out(gather, scratch);
}

void kg_gather_list_x(kg_gather_t *gather, const uint8_t *x, int32_t zero) {
    int32_t plane = gather->rows.source * gather->cols.source;
    kg_factor_t *end = gather->factors;
    for (int32_t at = 0, col = 0; at < plane; at++, col = col + 1 == gather->cols.source ? 0 : col + 1) {
        int32_t offset = col * gather->channels * gather->lanes;
        gather->starts[at] = (int32_t)(end - gather->factors);
        for (int32_t i = 0; i < gather->channels; i++, offset += gather->lanes) {
            int32_t value = x[i * plane + at] - zero;
            *end = (kg_factor_t){offset, (float)value};
            end += value != 0;
        }
    }
    gather->starts[plane] = (int32_t)(end - gather->factors);
}

void kg_gather_list_e(kg_gather_t *gather, const uint8_t *e, int32_t group, const kg_kept_t *kept) {
    int32_t plane = gather->rows.source * gather->cols.source;
    int32_t first = group * gather->channels;
    kg_kept_range_t range = kg_kept_between(kept, first, first + gather->channels);
    kg_factor_t *end = gather->factors;
    for (int32_t at = 0, col = 0; at < plane; at++, col = col + 1 == gather->cols.source ? 0 : col + 1) {
        gather->starts[at] = (int32_t)(end - gather->factors);
        for (int32_t j = range.first; j < range.end; j++) {
            kg_kept_row_t row = kg_kept_at(kept, j);
            int32_t value = (e[row.row * plane + at] - KG_ERROR_ZERO) * row.factor;
            *end = (kg_factor_t){(col * gather->channels + row.row - first) * gather->lanes,
                                 (float)value};
            end += value != 0;
        }
    }
    gather->starts[plane] = (int32_t)(end - gather->factors);
}

void kg_gather_weights(kg_gather_t *gather, const uint8_t *w, int32_t zero) {
    int32_t taps = gather->rows.kernel * gather->cols.kernel;
    bool backward = gather->rows.backward;
    int32_t channel_step = backward ? taps * gather->outs : taps;
    int32_t lane_step = backward ? taps : taps * gather->channels;
    for (int32_t u = 0; u < gather->rows.kernel; u++) {
        for (int32_t v = 0; v < gather->cols.kernel; v++, w++) {
            int32_t tap = u * gather->cols.kernel + place_of(&gather->cols, v);
            float *to = gather->weights + tap * gather->channels * gather->lanes;
            for (int32_t i = 0; i < gather->channels; i++, to += gather->lanes) {
                const uint8_t *from = w + i * channel_step;
                for (int32_t lane = 0; lane < gather->lanes; lane++) {
                    to[lane] = lane < gather->outs ? (float)(from[lane * lane_step] - zero) : 0.0f;
                }
            }
        }
    }
}

// sums[j] += the factors times their vectors of weights, which begin at `weights`. Two chains of
// additions run side by side.
static inline void combine(const kg_factor_t *factor, int32_t count, const float *weights,
                           int32_t vectors, kg_vector_t *sums, kg_vector_t *others) {
    for (; count >= 2; count -= 2, factor += 2) {
        const kg_vector_t *w = (const kg_vector_t *)(weights + factor[0].offset);
        const kg_vector_t *other = (const kg_vector_t *)(weights + factor[1].offset);
        for (int32_t j = 0; j < vectors; j++) {
            sums[j] += factor[0].value * w[j];
            others[j] += factor[1].value * other[j];
        }
    }
    if (count > 0) {
        const kg_vector_t *w = (const kg_vector_t *)(weights + factor->offset);
        for (int32_t j = 0; j < vectors; j++) {
            sums[j] += factor->value * w[j];
        }
    }
}

typedef int32_t integers_t __attribute__((vector_size(32), aligned(4), may_alias));

// Adds whole numbers to those in `to`.
static inline void flush(kg_vector_t *sums, kg_vector_t *others, int32_t vectors, int32_t *to) {
    for (int32_t j = 0; j < vectors; j++) {
        ((integers_t *)to)[j] += __builtin_convertvector(sums[j] + others[j], integers_t);
        sums[j] = others[j] = (kg_vector_t){0};
    }
}

// The sums of one position in `vectors` vectors of lanes, from lane `lane` on; to starts at 0.
static inline void sum_position(const kg_gather_t *gather, kg_reach_t rows, kg_reach_t cols,
                                int32_t lane, int32_t vectors, int32_t *to) {
    kg_vector_t sums[MOST_VECTORS] = {0}, others[MOST_VECTORS] = {0};
    int32_t room = gather->exact;
    for (int32_t r = 0; r < rows.count; r++) {
        const int32_t *starts = gather->starts + (rows.first + r) * gather->cols.source + cols.first;
        int32_t first = starts[0], end = starts[cols.count];
        int32_t place = (rows.tap + r * rows.step) * gather->cols.kernel + cols.place - cols.first;
        const float *weights = gather->weights + place * gather->channels * gather->lanes + lane;
        while (first < end) {
            int32_t count = end - first < room ? end - first : room;
            combine(gather->factors + first, count, weights, vectors, sums, others);
            first += count;
            room -= count;
            if (room == 0) {
                flush(sums, others, vectors, to);
                room = gather->exact;
            }
        }
    }
    flush(sums, others, vectors, to);
}

static void sum_lanes(const kg_gather_t *gather, kg_reach_t rows, kg_reach_t cols, int32_t lane,
                      int32_t vectors, int32_t *to) {
    switch (vectors) {
    case 1: sum_position(gather, rows, cols, lane, 1, to); break;
    case 2: sum_position(gather, rows, cols, lane, 2, to); break;
    case 3: sum_position(gather, rows, cols, lane, 3, to); break;
    case 4: sum_position(gather, rows, cols, lane, 4, to); break;
    case 5: sum_position(gather, rows, cols, lane, 5, to); break;
    default: sum_position(gather, rows, cols, lane, MOST_VECTORS, to); break;
    }
}

// Brings a row of sums, (cols.target, lanes), to its place in (outs, rows.target, cols.target).
static void store_line(const kg_gather_t *gather, int32_t row) {
    int32_t width = gather->cols.target;
    for (int32_t lane = 0; lane < gather->outs; lane++) {
        int32_t *to = gather->sums + (lane * gather->rows.target + row) * width;
        for (int32_t c = 0; c < width; c++) {
            to[c] = gather->line[c * gather->lanes + lane];
        }
    }
}

void kg_gather_run(const kg_gather_t *gather) {
    int32_t width = gather->cols.target;
    int32_t vectors = gather->lanes / KG_VECTOR_LANES;
    for (int32_t c = 0; c < width; c++) {
        gather->reach[c] = reach_of(&gather->cols, c);
    }
    for (int32_t r = 0; r < gather->rows.target; r++) {
        kg_reach_t rows = reach_of(&gather->rows, r);
        memset(gather->line, 0, (size_t)(width * gather->lanes) * sizeof *gather->line);
        for (int32_t first = 0; first < vectors; first += MOST_VECTORS) {
            int32_t part = vectors - first < MOST_VECTORS ? vectors - first : MOST_VECTORS;
            int32_t lane = first * KG_VECTOR_LANES;
            for (int32_t c = 0; c < width; c++) {
                sum_lanes(gather, rows, gather->reach[c], lane, part,
                          gather->line + c * gather->lanes + lane);
            }
        }
        store_line(gather, r);
    }
}
