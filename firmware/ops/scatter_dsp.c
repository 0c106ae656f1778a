// SPDX-License-Identifier: Apache-2.0
// Input gradients error by error for Cortex-M4 and M7: the bits of conv2d_u8.c.
//
// Errors that are not zero are listed once for all input channels. A channel's sums lie in scratch
// with their padding, so that no tap asks for borders; a kernel of three by three has its weights
// in five registers. A position costs a dozen instructions here, and some forty in gather_dsp.c,
// whose products are cheaper: the number of errors decides.
#include "ops/scatter_dsp.h"

#include "ops/error.h"
#include "ops/finish_dsp.h"
#include "ops/pairs_dsp.h"

// In cycles of an M4: what a position costs less than in gather_dsp.c, for one channel and for all;
// and what an error, or an output that has errors, costs more.
#define GAIN 29
#define GAIN_OF_ALL 220
#define COST_OF_OUTPUT 70
#define COST_3X3 23
#define COST_OF_TAP 9  // in other kernels

typedef struct {
    const kg_conv_dims_t *dims;
    int32_t width, height;  // of a map with its padding
    int32_t count;          // of its sums
    int32_t *sums;
    kg_tap_t *lists;  // one after the other: (output, number of errors), then the errors
    kg_tap_t *end;    // of all lists
} scatter_t;

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static scatter_t lay_out(const kg_conv_dims_t *dims, void *scratch) {
    scatter_t s = {.dims = dims, .sums = scratch};
    s.width = larger((dims->out_width - 1) * dims->stride_width + dims->kernel_width,
                     dims->pad_left + dims->in_width);
    s.height = larger((dims->out_height - 1) * dims->stride_height + dims->kernel_height,
                      dims->pad_top + dims->in_height);
    s.count = s.width * s.height;
    s.lists = (kg_tap_t *)(s.sums + ((s.count + 1) & ~1));
    s.end = s.lists;
    return s;
}

// --- lists ---------------------------------------------------------------------------------------

static int32_t cost_of_error(const kg_conv_dims_t *dims) {
    if (kg_conv_is_3x3(dims)) {
        return COST_3X3;
    }
    return COST_OF_TAP * dims->kernel_height * dims->kernel_width;
}

// Lists the errors of one output behind s->end, times a factor. Returns their number, or
// KG_SCATTER_TOO_MANY where `last` is too near.
static int32_t list_output(scatter_t *s, const uint8_t *e, kg_kept_row_t row,
                           const kg_tap_t *last) {
    const kg_conv_dims_t *dims = s->dims;
    int32_t step = dims->stride_width * (int32_t)sizeof *s->sums;
    int32_t row_step = dims->stride_height * s->width * (int32_t)sizeof *s->sums;
    kg_tap_t *first = s->end + 1;
    kg_errors_t errors = {first, 0};
    e += row.row * dims->out_height * dims->out_width;
    for (int32_t r = 0; r < dims->out_height; r++, e += dims->out_width) {
        if (last - errors.end <= dims->out_width) {
            return KG_SCATTER_TOO_MANY;
        }
        kg_errors_append(&errors, e, dims->out_width, r * row_step, step);
    }
    for (kg_tap_t *tap = first; row.factor != 1 && tap < errors.end; tap++) {
        tap->value *= row.factor;
    }
    int32_t count = (int32_t)(errors.end - first);
    *s->end = (kg_tap_t){row.row, count};
    s->end = count > 0 ? errors.end : s->end;
    return count;
}

// Whether all errors are listed, and few enough. Outputs are taken to be alike: where the first
// ones have too many errors, the others are not looked at.
static bool list_errors(scatter_t *s, const uint8_t *e, const kg_kept_t *kept,
                        const kg_tap_t *last) {
    const kg_conv_dims_t *dims = s->dims;
    int32_t outputs = kg_kept_count(kept, dims->out_channels);
    int32_t cost = cost_of_error(dims);
    int32_t gain = dims->in_height * dims->in_width * (GAIN + GAIN_OF_ALL / dims->in_channels);
    int64_t spent = 0;
    for (int32_t j = 0; j < outputs; j++) {
        if (last - s->end <= 1) {
            return false;
        }
        int32_t count = list_output(s, e, kg_kept_at(kept, j), last);
        if (count == KG_SCATTER_TOO_MANY) {
            return false;
        }
        spent += count > 0 ? COST_OF_OUTPUT + count * cost : 0;
        if (spent * outputs > (int64_t)gain * (j + 1)) {
            return false;
        }
    }
    return true;
}

// --- sums ----------------------------------------------------------------------------------------

// What an error meets: the sums, the bytes of a row of them, and weights without their zero point,
// two in a word: the first two of each row, the last of the first two rows, the last of all.
typedef struct {
    int32_t *sums;
    int32_t row_bytes;
    uint32_t first[3], last, corner;
} square_t;

static square_t pack_square(const scatter_t *s, const uint8_t *w, int32_t zero) {
    square_t square = {.sums = s->sums, .row_bytes = s->width * (int32_t)sizeof *s->sums};
    for (int32_t u = 0; u < 3; u++) {
        square.first[u] = kg_halves(w[3 * u] - zero, w[3 * u + 1] - zero);
    }
    square.last = kg_halves(w[2] - zero, w[5] - zero);
    square.corner = kg_halves(w[8] - zero, 0);
    return square;
}

// Adds error * weight to the three by three sums from each error's offset on. Errors times their
// factors fit 16 bits.
#ifdef __ARM_FEATURE_DSP

#define ADD_ROW(first, last)                                                                       \
    "ldm r3, {r0, r1, r2}\n\t"                                                                     \
    "smlabb r0, " first ", %[value], r0\n\t"                                                       \
    "smlatb r1, " first ", %[value], r1\n\t" last ", %[value], r2\n\t"                             \
    "stm r3, {r0, r1, r2}\n\t"

// By hand, as it takes all fourteen registers: r4 to r11 hold the square, r3 is where sums are.
__attribute__((noinline)) static void add_square(const square_t *square, kg_tap_list_t list) {
    uintptr_t value = (uintptr_t)square;
    __asm__ volatile("ldm %[value], {r4, r5, r6, r8, r9, r10, r11}\n"
                     "1:\n\t"
                     "ldrd r3, %[value], [%[tap]], #8\n\t"
                     "add r3, r3, r4\n\t"                                  //
                     ADD_ROW("r6", "smlabb r2, r10") "add r3, r3, r5\n\t"  //
                     ADD_ROW("r8", "smlatb r2, r10") "add r3, r3, r5\n\t"  //
                     ADD_ROW("r9", "smlabb r2, r11") "cmp %[tap], %[end]\n\t"
                                                     "bcc 1b"
                     : [value] "+r"(value), [tap] "+r"(list.first)
                     : [end] "r"(list.end)
                     : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "cc",
                       "memory");
}

#else

static void add_square(const square_t *square, kg_tap_list_t list) {
    const int32_t last[3] = {kg_bottom(square->last), kg_top(square->last),
                             kg_bottom(square->corner)};
    for (const kg_tap_t *tap = list.first; tap < list.end; tap++) {
        char *to = (char *)square->sums + tap->offset;
        for (int32_t u = 0; u < 3; u++, to += square->row_bytes) {
            int32_t *sums = (int32_t *)(void *)to;
            sums[0] += kg_bottom(square->first[u]) * tap->value;
            sums[1] += kg_top(square->first[u]) * tap->value;
            sums[2] += last[u] * tap->value;
        }
    }
}

#endif

static void add_any(const scatter_t *s, const uint8_t *w, int32_t zero, kg_tap_list_t list) {
    for (const kg_tap_t *tap = list.first; tap < list.end; tap++) {
        int32_t *to = (int32_t *)((char *)s->sums + tap->offset);
        int32_t value = tap->value;
        const uint8_t *from = w;
        for (int32_t u = 0; u < s->dims->kernel_height; u++, to += s->width) {
            for (int32_t v = 0; v < s->dims->kernel_width; v++) {
                to[v] += value * (*from++ - zero);
            }
        }
    }
}

static void add_list(const scatter_t *s, const uint8_t *w, int32_t zero, kg_tap_list_t list) {
    if (kg_conv_is_3x3(s->dims)) {
        square_t square = pack_square(s, w, zero);
        add_square(&square, list);
    } else {
        add_any(s, w, zero, list);
    }
}

static void clear(int32_t *sums, int32_t count, int32_t value) {
    int32_t *end = sums + count;
    for (; end - sums >= 8; sums += 8) {
        sums[0] = sums[1] = sums[2] = sums[3] = value;
        sums[4] = sums[5] = sums[6] = sums[7] = value;
    }
    while (sums < end) {
        *sums++ = value;
    }
}

// All that the lists add to one input channel.
static void add_lists(const scatter_t *s, const uint8_t *w, int32_t zero, int32_t half) {
    int32_t taps = s->dims->kernel_height * s->dims->kernel_width;
    clear(s->sums, s->count, half);
    for (const kg_tap_t *head = s->lists; head < s->end;) {
        const kg_tap_t *first = head + 1;
        kg_tap_list_t list = {first, first + head->value};
        add_list(s, w + head->offset * s->dims->in_channels * taps, zero, list);
        head = list.end;
    }
}

// Takes the padding from the map of sums.
static void compact(const scatter_t *s) {
    int32_t width = s->dims->in_width;
    const int32_t *from = s->sums + s->dims->pad_top * s->width + s->dims->pad_left;
    int32_t *to = s->sums;
    for (int32_t h = 0; h < s->dims->in_height; h++, from += s->width - width) {
        const int32_t *end = from + width;
        while (end - from >= 4) {
            kg_move_four(&to, &from);
        }
        while (from < end) {
            *to++ = *from++;
        }
    }
}

int32_t kg_scatter_u8(const kg_conv_dims_t *dims, const uint8_t *e, const kg_kept_t *kept,
                      const uint8_t *w, const kg_conv_quant_t *quant, const uint8_t *mask,
                      uint8_t *dx, void *scratch, size_t bytes) {
    scatter_t s = lay_out(dims, scratch);
    const kg_tap_t *last = (const kg_tap_t *)scratch + bytes / sizeof *last;
    if (s.lists >= last || !list_errors(&s, e, kept, last)) {
        return KG_SCATTER_TOO_MANY;
    }
    kg_finish_t finish = {.rounding = kg_rounding(quant->backward, KG_ERROR_ZERO, 0, 255),
                          .fraction = kg_kept_fraction(kept),
                          .mask_zero = quant->x_zero};
    int32_t plane = dims->in_height * dims->in_width;
    int32_t largest = 0;
    for (int32_t i = 0; i < dims->in_channels; i++, dx += plane) {
        add_lists(&s, w, quant->w_zero, kg_kept_half(kept));
        compact(&s);
        largest = kg_finish_errors(&finish, s.sums, mask, plane, dx, largest);
        w += dims->kernel_height * dims->kernel_width;
        mask = mask == NULL ? NULL : mask + plane;
    }
    return largest;
}
