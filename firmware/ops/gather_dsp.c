// SPDX-License-Identifier: Apache-2.0
// Input gradients for Cortex-M4 and M7: the bits of conv2d_u8.c.
//
// The weights become pairs of input channels (pairs_dsp.h), taps first, so that one error meets
// them in one piece. A row of errors becomes one list, position after position, when the first
// input row needs it. The outputs that read an input position are neighbours, and so are their
// taps: one stretch of each list serves, with an offset that depends on the output only.
#include "ops/gather_dsp.h"

#include "ops/error.h"
#include "ops/pairs_dsp.h"
#include "ops/rounding_dsp.h"

#define EIGHT (2 * KG_QUAD)  // channels that are summed together
#define WORD ((int32_t)sizeof(uint32_t))
#define MOST_PACKED 16384  // bytes of weights that are packed together, if eight channels fit
#define MOST_BYTES 65536   // of scratch

// Along one axis: outputs first to end - 1 read a position, the first of them through `tap`; the
// taps of the others follow, in the order in which they are packed.
typedef struct {
    int32_t first, end, tap;
} readers_t;

typedef struct {
    int32_t kernel, stride, pad;
    int32_t count;  // outputs
} axis_t;

// The errors of a row that are listed before a position.
typedef struct {
    int32_t count;
    int32_t total, weight;  // sums of values, and of |values|
} before_t;

// A listed row that an input row gathers from.
typedef struct {
    const kg_tap_t *list;
    const before_t *before;
    const uint32_t *packed;  // what the tap of output column 0 would be, were column 0 read by it
} line_t;

// One group of channels: its part of the arrays, and what lies in scratch.
typedef struct {
    const kg_conv_dims_t *dims;
    const kg_kept_t *kept;
    const kg_conv_quant_t *quant;
    kg_rounding_t rounding;
    bool transposed;
    int32_t fraction, half;  // of the kept rows' factors
    const uint8_t *e, *w;
    const uint8_t *mask;  // where there is none: any byte, and mask_zero is below it
    int32_t mask_zero;
    uint8_t *dx;
    kg_kept_range_t kept_outs;
    int32_t ins, outs, first_out, taps;
    int32_t channels, first_channel;  // that are packed
    int32_t row_taps;                 // errors that a row can have
    int32_t tap_pairs;                // of all outputs
    kg_tap_t *lists;                  // (kernel_height, out_width * outs), rows in turn
    kg_part_t *parts;                 // (kernel_height)
    line_t *lines;                    // (kernel_height)
    before_t *before;                 // (kernel_height, out_width + 1)
    uint32_t *packed;                 // (kernel_height, kernel_width, outs, channels / 2)
    int32_t next_row;                 // that is not listed yet
} gather_t;

static size_t lay_out(const kg_conv_dims_t *dims, gather_t *g, char *scratch) {
    g->ins = kg_conv_group_inputs(dims);
    g->outs = kg_conv_group_outputs(dims);
    g->taps = dims->kernel_height * dims->kernel_width;
    g->row_taps = dims->out_width * g->outs;
    int32_t eights = (g->ins + EIGHT - 1) / EIGHT;
    int32_t fit = MOST_PACKED / (g->taps * g->outs * KG_QUAD * WORD);
    fit = fit < 1 ? 1 : fit < eights ? fit : eights;
    g->channels = fit * EIGHT;
    g->tap_pairs = g->outs * g->channels / 2;
    size_t at = 0;
    g->lists = (kg_tap_t *)(scratch + at);
    at += (size_t)(dims->kernel_height * g->row_taps) * sizeof *g->lists;
    g->parts = (kg_part_t *)(scratch + at);
    at += (size_t)dims->kernel_height * sizeof *g->parts;
    g->lines = (line_t *)(scratch + at);
    at += (size_t)dims->kernel_height * sizeof *g->lines;
    g->before = (before_t *)(scratch + at);
    at += (size_t)(dims->kernel_height * (dims->out_width + 1)) * sizeof *g->before;
    g->packed = (uint32_t *)(scratch + at);
    return at + (size_t)(g->taps * g->tap_pairs) * sizeof *g->packed;
}

size_t kg_gather_u8_scratch_bytes(const kg_conv_dims_t *dims) {
    gather_t g;
    size_t bytes = lay_out(dims, &g, NULL);
    return bytes <= MOST_BYTES ? bytes : 0;
}

// --- geometry ------------------------------------------------------------------------------------

// Convolution: output p reads position k through tap k + pad - p * stride; taps are packed in
// reverse. Transposed: through tap k * stride + p - pad.
static readers_t readers_of(axis_t axis, bool transposed, int32_t position) {
    readers_t readers;
    if (transposed) {
        int32_t from = position * axis.stride - axis.pad;
        readers.first = from < 0 ? 0 : from;
        readers.end = from + axis.kernel;
        readers.tap = readers.first - from;
    } else {
        int32_t from = position + axis.pad;
        readers.first = from < axis.kernel ? 0 : (from - axis.kernel) / axis.stride + 1;
        readers.end = from / axis.stride + 1;
        readers.tap = axis.kernel - 1 - (from - readers.first * axis.stride);
    }
    readers.end = readers.end < axis.count ? readers.end : axis.count;
    return readers;
}

// --- weights -------------------------------------------------------------------------------------

// Pairs of two rows of taps.
static void pack_taps(const uint8_t *a, const uint8_t *b, int32_t taps, uint32_t *to,
                      int32_t step) {
    for (const uint8_t *end = a + taps; a < end; to += step) {
        *to = kg_pair(*a++, *b++);
    }
}

// Packs the weights of the kept outputs for some input channels; the last of an odd number makes a
// pair with itself.
static void pack_weights(const gather_t *g) {
    int32_t step = g->tap_pairs;
    int32_t reversed = g->transposed ? 0 : (g->taps - 1) * step;
    int32_t last = g->first_channel + g->channels;
    last = last < g->ins ? last : g->ins;
    step = g->transposed ? step : -step;
    for (int32_t j = g->kept_outs.first; j < g->kept_outs.end; j++) {
        int32_t o = kg_kept_at(g->kept, j).row - g->first_out;
        uint32_t *to = g->packed + reversed + o * g->channels / 2;
        for (int32_t i = g->first_channel; i < last; i += 2) {
            const uint8_t *a = g->w + (o * g->ins + i) * g->taps;
            pack_taps(a, i + 1 < last ? a + g->taps : a, g->taps, to++, step);
        }
    }
}

// --- errors --------------------------------------------------------------------------------------

typedef struct {
    kg_tap_t *end;
    int32_t total, weight;
} list_t;

static inline list_t append(list_t list, int32_t value, int32_t offset) {
    *list.end++ = (kg_tap_t){offset, value};
    list.total += value;
    list.weight += value < 0 ? -value : value;
    return list;
}

// The errors of all channels at a position; e: of the group's first channel. step: bytes of an
// output's weights.
static list_t list_all(const gather_t *g, const uint8_t *e, int32_t offset, int32_t step,
                       list_t list) {
    int32_t plane = g->dims->out_height * g->dims->out_width;
    for (const uint8_t *end = e + g->outs * plane; e != end; e += plane, offset += step) {
        int32_t value = *e - KG_ERROR_ZERO;
        if (value != 0) {
            list = append(list, value, offset);
        }
    }
    return list;
}

static list_t list_kept(const gather_t *g, const uint8_t *e, int32_t offset, int32_t step,
                        list_t list) {
    int32_t plane = g->dims->out_height * g->dims->out_width;
    const kg_kept_row_t *row = g->kept->rows + g->kept_outs.first;
    for (const kg_kept_row_t *end = g->kept->rows + g->kept_outs.end; row < end; row++) {
        int32_t o = row->row - g->first_out;
        int32_t value = e[o * plane] - KG_ERROR_ZERO;
        if (value != 0) {
            list = append(list, value * row->factor, offset + o * step);
        }
    }
    return list;
}

// Lists row r: a position's errors lie a stride of taps behind those of the one before.
__attribute__((noinline)) static void list_row(const gather_t *g, int32_t r) {
    const kg_conv_dims_t *dims = g->dims;
    int32_t slot = r % dims->kernel_height;
    int32_t width = dims->out_width;
    int32_t step = g->channels / 2 * WORD;
    int32_t stride = g->outs * step * (g->transposed ? 1 : dims->stride_width);
    kg_tap_t *first = g->lists + slot * g->row_taps;
    before_t *before = g->before + slot * (width + 1);
    const uint8_t *e = g->e + r * width;
    list_t list = {first, 0, 0};
    for (int32_t c = 0; c <= width; c++, e++) {
        *before++ = (before_t){(int32_t)(list.end - first), list.total, list.weight};
        if (c < width) {
            list = g->kept == NULL ? list_all(g, e, c * stride, step, list)
                                   : list_kept(g, e, c * stride, step, list);
        }
    }
}

// --- sums ----------------------------------------------------------------------------------------

// What an input position gathers from.
typedef struct {
    const kg_part_t *end;   // of the parts
    int32_t total, weight;  // of all their errors
} sources_t;

// The rows that input row h gathers from. Returns their end.
static line_t *find_lines(const gather_t *g, readers_t rows, line_t *line) {
    const kg_conv_dims_t *dims = g->dims;
    int32_t step = (g->transposed ? 1 : dims->stride_height) * dims->kernel_width;
    int32_t tap = rows.tap * dims->kernel_width;
    for (int32_t r = rows.first; r < rows.end; r++, tap += step) {
        int32_t slot = r % dims->kernel_height;
        *line++ = (line_t){g->lists + slot * g->row_taps, g->before + slot * (dims->out_width + 1),
                           g->packed + tap * g->tap_pairs};
    }
    return line;
}

// skip: pairs from the tap of output column 0 on.
__attribute__((noinline)) static sources_t find_sources(const line_t *line, const line_t *end,
                                                        readers_t columns, int32_t skip,
                                                        kg_part_t *part) {
    sources_t sources = {part, 0, 0};
    for (; line < end; line++) {
        const before_t *before = line->before + columns.first;
        const before_t *after = line->before + columns.end;
        if (after->count > before->count) {
            part->list.first = line->list + before->count;
            part->list.end = line->list + after->count;
            part->base = line->packed + skip;
            part++;
            sources.total += after->total - before->total;
            sources.weight += after->weight - before->weight;
        }
    }
    sources.end = part;
    return sources;
}

// As many taps as a pair can hold together.
static kg_tap_list_t next_chunk(kg_tap_list_t list) {
    int32_t weight = 0;
    kg_tap_list_t chunk = {list.first, list.first};
    for (; chunk.end < list.end; chunk.end++) {
        int32_t value = chunk.end->value;
        weight += value < 0 ? -value : value;
        if (weight > KG_PAIR_LIMIT) {
            break;
        }
    }
    return chunk;
}

// The same as kg_pairs_dot where the errors are too large for one sum of pairs.
static void dot_chunks(const kg_part_t *part, kg_dot_t *dot) {
    kg_dot_t some;
    some.first = some.second = 0;
    some.skip = dot->skip;
    for (int32_t n = 0; n < EIGHT; n += 2) {
        dot->sums[n] = dot->first;
        dot->sums[n + 1] = dot->second;
    }
    for (; part < dot->end; part++) {
        kg_part_t rest = *part;
        while (rest.list.first < rest.list.end) {
            kg_part_t chunk = {next_chunk(rest.list), rest.base};
            some.end = &chunk + 1;
            kg_pairs_dot(&chunk, &some);
            for (int32_t n = 0; n < EIGHT; n++) {
                dot->sums[n] += some.sums[n];
            }
            rest.list.first = chunk.list.end;
        }
    }
}

// --- results -------------------------------------------------------------------------------------

// Eight channels, or what is left, of one position.
typedef struct {
    const uint8_t *mask;  // at the first channel
    uint8_t *dx;
    int32_t count, plane, mask_step;
} target_t;

static bool is_masked(target_t to, int32_t zero) {
    for (; to.count > 0; to.count--, to.mask += to.mask_step) {
        if (*to.mask > zero) {
            return false;
        }
    }
    return true;
}

static void clear(target_t to) {
    for (; to.count > 0; to.count--, to.dx += to.plane) {
        *to.dx = KG_ERROR_ZERO;
    }
}

static inline int32_t magnitude(int32_t sum) {
    int32_t sign = sum >> 31;
    return (sum ^ sign) - sign;
}

// Writes errors. Returns the largest |sum|.
static int32_t finish(const gather_t *g, target_t to, const int32_t *sums) {
    kg_requant_t factor = g->rounding.factor;
    int32_t largest = 0;
    for (; to.count > 0; to.count--, to.dx += to.plane, to.mask += to.mask_step) {
        int32_t sum = *sums++ >> g->fraction;
        int32_t error = KG_ERROR_ZERO;
        if (*to.mask > g->mask_zero) {
            largest = kg_largest(largest, sum);
            error = kg_error(sum, factor);
        }
        *to.dx = (uint8_t)error;
    }
    return largest;
}

// The same with fast rounding. Not inlined: what surrounds it would spill its registers.
__attribute__((noinline)) static int32_t finish_fast(const gather_t *g, target_t to,
                                                     const int32_t *sums) {
    int32_t multiplier = g->rounding.multiplier;
    int32_t offset = g->rounding.offset;
    int32_t shift = g->rounding.shift;
    int32_t fraction = g->fraction;
    int32_t zero = g->mask_zero;
    int32_t largest = 0;
    for (; to.count > 0; to.count--, to.dx += to.plane, to.mask += to.mask_step) {
        int32_t sum = *sums++ >> fraction;
        int32_t error = KG_ERROR_ZERO;
        if (*to.mask > zero) {
            int32_t size = magnitude(sum);
            largest = size > largest ? size : largest;
            error = kg_clamp(kg_smmla(sum, multiplier, offset) >> shift, 0, 255);
        }
        *to.dx = (uint8_t)error;
    }
    return largest;
}

// One position in all packed channels. Returns the largest |sum|.
static int32_t gather(const gather_t *g, kg_dot_t *dot, int32_t weight, int32_t position) {
    int32_t left = g->ins - g->first_channel;
    left = left < g->channels ? left : g->channels;
    int32_t plane = g->dims->in_height * g->dims->in_width;
    target_t to = {.dx = g->dx + g->first_channel * plane + position,
                   .plane = plane,
                   .mask = g->mask,
                   .mask_step = g->mask_zero < 0 ? 0 : plane};
    if (g->mask_zero >= 0) {
        to.mask += g->first_channel * plane + position;
    }
    int32_t largest = 0;
    for (dot->skip = 0; left > 0; left -= EIGHT, dot->skip += KG_QUAD * WORD) {
        to.count = left < EIGHT ? left : EIGHT;
        if (dot->end == g->parts || is_masked(to, g->mask_zero)) {
            clear(to);
        } else {
            if (weight <= KG_PAIR_LIMIT) {
                kg_pairs_dot(g->parts, dot);
            } else {
                dot_chunks(g->parts, dot);
            }
            int32_t one =
                g->rounding.fast ? finish_fast(g, to, dot->sums) : finish(g, to, dot->sums);
            largest = one > largest ? one : largest;
        }
        to.dx += EIGHT * plane;
        to.mask += EIGHT * to.mask_step;
    }
    return largest;
}

// One row of positions in all packed channels. Returns the largest |sum|.
static int32_t gather_row(gather_t *g, int32_t h) {
    const kg_conv_dims_t *dims = g->dims;
    axis_t down = {dims->kernel_height, dims->stride_height, dims->pad_top, dims->out_height};
    axis_t across = {dims->kernel_width, dims->stride_width, dims->pad_left, dims->out_width};
    int32_t stride = g->transposed ? 1 : dims->stride_width;
    readers_t rows = readers_of(down, g->transposed, h);
    g->next_row = g->next_row < rows.first ? rows.first : g->next_row;
    for (; g->next_row < rows.end; g->next_row++) {
        list_row(g, g->next_row);
    }
    const line_t *end = find_lines(g, rows, g->lines);
    int32_t largest = 0;
    kg_dot_t dot;
    for (int32_t k = 0; k < dims->in_width; k++) {
        readers_t columns = readers_of(across, g->transposed, k);
        int32_t skip = (columns.tap - columns.first * stride) * g->tap_pairs;
        sources_t sources = find_sources(g->lines, end, columns, skip, g->parts);
        dot.end = sources.end;
        dot.first = g->half - g->quant->w_zero * sources.total;
        dot.second = dot.first + KG_PAIR_OFFSET * sources.total;
        int32_t one = gather(g, &dot, sources.weight, h * dims->in_width + k);
        largest = one > largest ? one : largest;
    }
    return largest;
}

int32_t kg_gather_u8(const kg_conv_dims_t *dims, bool transposed, const uint8_t *e,
                     const kg_kept_t *kept, const uint8_t *w, const kg_conv_quant_t *quant,
                     const uint8_t *mask, uint8_t *dx, void *scratch) {
    gather_t g = {.dims = dims, .kept = kept, .quant = quant, .transposed = transposed};
    g.rounding = kg_rounding(quant->backward, KG_ERROR_ZERO, 0, 255);
    g.fraction = kg_kept_fraction(kept);
    g.half = kg_kept_half(kept);
    int32_t largest = 0;
    (void)lay_out(dims, &g, scratch);
    for (int32_t group = 0; group < dims->groups; group++) {
        int32_t at = group * g.ins * dims->in_height * dims->in_width;
        g.first_out = group * g.outs;
        g.kept_outs = kg_kept_between(kept, g.first_out, g.first_out + g.outs);
        g.e = e + g.first_out * dims->out_height * dims->out_width;
        g.w = w + g.first_out * kg_conv_columns(dims);
        g.mask = mask == NULL ? w : mask + at;
        g.mask_zero = mask == NULL ? -1 : quant->x_zero;
        g.dx = dx + at;
        for (g.first_channel = 0; g.first_channel < g.ins; g.first_channel += g.channels) {
            g.next_row = 0;
            pack_weights(&g);
            for (int32_t h = 0; h < dims->in_height; h++) {
                int32_t one = gather_row(&g, h);
                largest = one > largest ? one : largest;
            }
        }
    }
    return largest;
}
