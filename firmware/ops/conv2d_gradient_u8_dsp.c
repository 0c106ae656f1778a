// SPDX-License-Identifier: Apache-2.0
// Gradients of 2-D convolution in uint8 for Cortex-M4 and M7: the bits of conv2d_u8.c.
//
// The maps of a group become pairs of channels (pairs_dsp.h), position after position, with their
// padding. What one error meets in a row of the kernel then lies in one piece, and a list of errors
// serves all channels, rows and columns of taps.
#include <string.h>

#include "ops/conv2d.h"
#include "ops/depthwise.h"
#include "ops/gather_dsp.h"
#include "ops/pairs_dsp.h"
#include "ops/scatter_dsp.h"
#include "ops/square_rows_dsp.h"

#define LARGEST_BYTES 32768  // of packed maps: larger ones are left to plain C
#define EIGHT (2 * KG_QUAD)  // sums that are made together
#define MOST_ERRORS 256      // of one list: 256 * 128 <= KG_PAIR_LIMIT
#define FEW_ROWS 2           // not worth packing

// Where things are in scratch, and the sizes of packed maps.
typedef struct {
    int32_t width, height;  // of a map with its padding, as far as windows reach
    int32_t pairs;          // of one position
    size_t group_bytes;
    size_t bytes;      // of all scratch
    int32_t capacity;  // errors of one list
    int32_t pitch;     // of maps that are not packed; 0: no such maps
    int32_t *is_packed;
    kg_tap_t *taps;
    uint32_t *packed;
} plan_t;

// Groups share no channel: only a single one is worth packing ahead of its rows.
static plan_t plan_of(const kg_conv_dims_t *dims, void *scratch) {
    plan_t plan;
    plan.width = (dims->out_width - 1) * dims->stride_width + dims->kernel_width;
    plan.height = (dims->out_height - 1) * dims->stride_height + dims->kernel_height;
    plan.pairs = (kg_conv_group_inputs(dims) + 1) / 2;
    plan.group_bytes = (size_t)(plan.width * plan.height * plan.pairs) * sizeof(uint32_t);
    plan.capacity = dims->out_height * dims->out_width;
    plan.capacity = plan.capacity < MOST_ERRORS ? plan.capacity : MOST_ERRORS;
    plan.pitch = kg_square_pitch(dims, plan.width);
    if ((size_t)(plan.pitch * plan.height * kg_conv_group_inputs(dims)) > plan.group_bytes) {
        plan.pitch = 0;
    }
    plan.is_packed = scratch;
    plan.taps = (kg_tap_t *)scratch + 1;
    plan.packed = (uint32_t *)(plan.taps + plan.capacity + 1);
    plan.bytes = (size_t)(plan.capacity + 2) * sizeof(kg_tap_t) + plan.group_bytes +
                 (KG_QUAD - 1) * sizeof(uint32_t);
    return plan;
}

static int is_large(const plan_t *plan) {
    return plan->group_bytes > LARGEST_BYTES;
}

// A quad reaches at most three pairs further than the last one.
size_t kg_conv2d_u8_weight_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    plan_t plan = plan_of(dims, NULL);
    if (is_large(&plan)) {
        return kg_conv2d_u8_weight_gradient_scratch_bytes(dims);
    }
    return plan.bytes;
}

// Pairs of two maps, row after row; to: where the first element goes.
static void pack_maps(const kg_conv_dims_t *dims, const plan_t *plan, const uint8_t *a,
                      const uint8_t *b, uint32_t *to) {
    int32_t in_width = dims->in_width;
    int32_t step = plan->pairs;
    int32_t row_step = plan->width * step;
    int32_t rows = plan->height - dims->pad_top;
    int32_t columns = plan->width - dims->pad_left;
    rows = rows < dims->in_height ? rows : dims->in_height;
    columns = columns < in_width ? columns : in_width;
    for (int32_t r = 0; r < rows; r++, a += in_width, b += in_width, to += row_step) {
        uint32_t *out = to;
        for (int32_t c = 0; c < columns; c++, out += step) {
            *out = kg_pair(a[c], b[c]);
        }
    }
}

// Packs the maps of one group; the last of an odd number makes a pair with itself.
static void pack_group(const kg_conv_dims_t *dims, const plan_t *plan, const uint8_t *x,
                       int32_t zero) {
    int32_t plane = dims->in_height * dims->in_width;
    int32_t count = plan->width * plan->height * plan->pairs;
    uint32_t *first = plan->packed + (dims->pad_top * plan->width + dims->pad_left) * plan->pairs;
    uint32_t nothing = kg_pair((uint32_t)zero, (uint32_t)zero);
    uint32_t *to = plan->packed;
    uint32_t *end = to + count + KG_QUAD - 1;
    for (; end - to >= 4; to += 4) {
        to[0] = to[1] = to[2] = to[3] = nothing;
    }
    while (to < end) {
        *to++ = nothing;
    }
    for (int32_t i = 0; i < kg_conv_group_inputs(dims); i += 2) {
        const uint8_t *a = x + i * plane;
        pack_maps(dims, plan, a, i + 1 < kg_conv_group_inputs(dims) ? a + plane : a, first + i / 2);
    }
}

// Makes the maps of one group ready for `rows` rows.
static void prepare_group(const kg_conv_dims_t *dims, const plan_t *plan, const uint8_t *x,
                          int32_t zero, int32_t rows) {
    bool alone = kg_conv_group_inputs(dims) == 1;
    *plan->is_packed = plan->pitch == 0 || (rows > FEW_ROWS && !alone);
    if (*plan->is_packed) {
        pack_group(dims, plan, x, zero);
    } else {
        kg_square_pad(dims, x, zero, plan->height, plan->pitch, (uint8_t *)plan->packed);
    }
}

void kg_conv2d_u8_weight_gradient_dsp_prepare(const kg_conv_dims_t *dims, const uint8_t *x,
                                              const kg_conv_quant_t *quant, int32_t rows,
                                              void *scratch) {
    plan_t plan = plan_of(dims, scratch);
    if (dims->groups == 1 && !is_large(&plan)) {
        prepare_group(dims, &plan, x, quant->x_zero, rows);
    }
}

typedef struct {
    int32_t r, c;
} position_t;

// Lists the errors from a position on, as many as fit, and moves the position. Offsets are those of
// tap (0, 0).
static kg_errors_t list_errors(const kg_conv_dims_t *dims, const plan_t *plan, const uint8_t *e,
                               position_t *at) {
    int32_t pixel = *plan->is_packed ? plan->pairs * (int32_t)sizeof(uint32_t) : 1;
    int32_t step = dims->stride_width * pixel;
    int32_t width = *plan->is_packed ? plan->width * pixel : plan->pitch;
    int32_t row_step = dims->stride_height * width;
    kg_errors_t errors = {plan->taps, 0};
    while (at->r < dims->out_height) {
        int32_t count = dims->out_width - at->c;
        count = count < plan->capacity ? count : plan->capacity;
        if (errors.end - plan->taps + count > plan->capacity) {
            break;
        }
        kg_errors_append(&errors, e + at->r * dims->out_width + at->c, count,
                         at->r * row_step + at->c * step, step);
        at->c += count;
        if (at->c == dims->out_width) {
            *at = (position_t){at->r + 1, 0};
        }
    }
    return errors;
}

// Adds the products of the listed errors to the weights' row, from maps that are not packed.
static void add_squares(const kg_conv_dims_t *dims, const plan_t *plan, kg_errors_t errors,
                        int32_t zero, int32_t *row) {
    const uint8_t *map = (const uint8_t *)plan->packed;
    *errors.end = (kg_tap_t){0, 0};
    for (int32_t i = 0; i < kg_conv_group_inputs(dims); i++, map += plan->height * plan->pitch) {
        for (int32_t *end = row + 9, *to = row; to < end; to++) {
            *to -= zero * errors.total;
        }
        kg_square_dot(plan->taps, map, plan->pitch, row);
        row += 9;
    }
}

// The same from packed maps: for each row of taps, sums come as
// (v, i), in eights, and go to (i, u, v).
static void add_errors(const kg_conv_dims_t *dims, const plan_t *plan, kg_errors_t errors,
                       int32_t zero, int32_t *row) {
    int32_t channels = kg_conv_group_inputs(dims);
    int32_t taps = dims->kernel_height * dims->kernel_width;
    kg_part_t part = {{plan->taps, errors.end}, plan->packed};
    kg_dot_t dot;
    dot.end = &part + 1;
    dot.first = -zero * errors.total;
    dot.second = dot.first + KG_PAIR_OFFSET * errors.total;
    for (const int32_t *end = row + taps; row != end; part.base += plan->width * plan->pairs) {
        const int32_t *next = dot.sums + EIGHT;
        dot.skip = 0;
        for (const int32_t *last = row + dims->kernel_width; row != last; row++) {
            int32_t *to = row;
            for (int32_t i = 0; i < channels; i += 2, to += 2 * taps, next += 2) {
                if (next == dot.sums + EIGHT) {
                    kg_pairs_dot(&part, &dot);
                    dot.skip += EIGHT / 2 * (int32_t)sizeof(uint32_t);
                    next = dot.sums;
                }
                to[0] += next[0];
                if (i + 1 < channels) {
                    to[taps] += next[1];
                }
            }
        }
    }
}

// row[i,u,v] = sum_{r,c} (e[channel,r,c] - 128) (x[i,r*S+u-P,c*S+v-P] - z_x)
void kg_conv2d_u8_weight_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *x,
                                      const uint8_t *e, const kg_conv_quant_t *quant,
                                      int32_t channel, int32_t *row, void *scratch) {
    plan_t plan = plan_of(dims, scratch);
    int32_t ins = kg_conv_group_inputs(dims);
    if (is_large(&plan)) {
        kg_conv2d_u8_weight_gradient(dims, x, e, quant, channel, row, scratch);
        return;
    }
    if (dims->groups > 1) {
        int32_t group = channel / kg_conv_group_outputs(dims);
        x += group * ins * dims->in_height * dims->in_width;
        prepare_group(dims, &plan, x, quant->x_zero, 1);
    }
    memset(row, 0, (size_t)kg_conv_columns(dims) * sizeof *row);
    e += channel * dims->out_height * dims->out_width;
    for (position_t at = {0, 0}; at.r < dims->out_height;) {
        kg_errors_t errors = list_errors(dims, &plan, e, &at);
        if (errors.end > plan.taps && *plan.is_packed) {
            add_errors(dims, &plan, errors, quant->x_zero, row);
        } else if (errors.end > plan.taps) {
            add_squares(dims, &plan, errors, quant->x_zero, row);
        }
    }
}

size_t kg_conv2d_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_input_gradient_dsp_scratch_bytes(dims);
    }
    size_t bytes = kg_gather_u8_scratch_bytes(dims);
    return bytes != 0 ? bytes : kg_conv2d_u8_input_gradient_scratch_bytes(dims);
}

int32_t kg_conv2d_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                        const kg_kept_t *kept, const uint8_t *w,
                                        const kg_conv_quant_t *quant, const uint8_t *mask,
                                        uint8_t *dx, void *scratch) {
    if (kg_conv_is_depthwise(dims)) {
        return kg_depthwise_u8_input_gradient_dsp(dims, e, kept, w, quant, mask, dx, scratch);
    }
    size_t bytes = kg_gather_u8_scratch_bytes(dims);
    if (bytes == 0) {
        return kg_conv2d_u8_input_gradient(dims, e, kept, w, quant, mask, dx, scratch);
    }
    if (dims->groups == 1) {
        int32_t largest = kg_scatter_u8(dims, e, kept, w, quant, mask, dx, scratch, bytes);
        if (largest != KG_SCATTER_TOO_MANY) {
            return largest;
        }
    }
    return kg_gather_u8(dims, false, e, kept, w, quant, mask, dx, scratch);
}
