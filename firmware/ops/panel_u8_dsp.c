// SPDX-License-Identifier: Apache-2.0
// Lines of inputs, streams of weights and what is done with their products, for panel_dsp.h.
#include "ops/panel_dsp.h"

#include <stddef.h>

#include "ops/dsp.h"

void kg_panel_line(const uint8_t *a, const uint8_t *b, int32_t count, int32_t zero, uint32_t *line,
                   int32_t step) {
    uint32_t minus_zero = kg_halves(-zero, -zero);
    for (; count >= 4; count -= 4, a += 4, b += 4, line += step) {
        uint32_t word_a = kg_load_word(a);
        uint32_t word_b = kg_load_word(b);
        uint32_t even_a = kg_uxtab16(minus_zero, word_a);
        uint32_t even_b = kg_uxtab16(minus_zero, word_b);
        uint32_t odd_a = kg_uxtab16_ror8(minus_zero, word_a);
        uint32_t odd_b = kg_uxtab16_ror8(minus_zero, word_b);
        line[0] = kg_pkhbb(even_a, even_b);
        line[1] = kg_pkhbb(odd_a, odd_b);
        line[2] = kg_pkhtt(even_a, even_b);
        line[3] = kg_pkhtt(odd_a, odd_b);
    }
    for (int32_t j = 0; j < count; j++) {
        line[j] = kg_halves(a[j] - zero, b[j] - zero);
    }
}

void kg_panel_copy(const uint8_t *row, int32_t width, int32_t first, int32_t step, int32_t count,
                   uint8_t zero, uint8_t *to) {
    uint8_t *end = to + count;
    int32_t inside = row == NULL ? 0 : width;
    first = row == NULL ? 0 : first;
    for (; to < end && first < 0; first += step) {
        *to++ = zero;
    }
    for (; step == 1 && end - to >= 4 && first + 4 <= inside; first += 4, to += 4) {
        kg_store_word(to, kg_load_word(row + first));
    }
    for (; to < end && first < inside; first += step) {
        *to++ = row[first];
    }
    while (to < end) {
        *to++ = zero;
    }
}

uint32_t *kg_panel_weights(const uint8_t *a, const uint8_t *b, int32_t count, int32_t zero,
                           uint32_t *words) {
    uint32_t minus_zero = kg_halves(-zero, -zero);
    for (; count >= 4; count -= 4, a += 4, b += 4, words += 4) {
        uint32_t word_a = kg_load_word(a);
        uint32_t word_b = kg_load_word(b);
        uint32_t even_a = kg_uxtab16(minus_zero, word_a);
        uint32_t even_b = kg_uxtab16(minus_zero, word_b);
        uint32_t odd_a = kg_uxtab16_ror8(minus_zero, word_a);
        uint32_t odd_b = kg_uxtab16_ror8(minus_zero, word_b);
        words[0] = kg_pkhbb(even_a, odd_a);
        words[1] = kg_pkhbb(even_b, odd_b);
        words[2] = kg_pkhtt(even_a, odd_a);
        words[3] = kg_pkhtt(even_b, odd_b);
    }
    for (; count > 0; count -= 2, a += 2, b += 2, words += 2) {
        words[0] = kg_halves(a[0] - zero, count > 1 ? a[1] - zero : 0);
        words[1] = kg_halves(b[0] - zero, count > 1 ? b[1] - zero : 0);
    }
    return words;
}

// Taps 0, 1 and 2 of two lines of three: of bytes 0 to 5, each with that three behind it.
static inline void pair_threes(const uint8_t *w, uint32_t minus_zero, uint32_t *words) {
    uint32_t first = kg_load_word(w);
    uint32_t last = kg_load_word(w + 2);
    uint32_t bytes_0_2 = kg_uxtab16(minus_zero, first);
    uint32_t bytes_1_3 = kg_uxtab16_ror8(minus_zero, first);
    uint32_t bytes_2_4 = kg_uxtab16(minus_zero, last);
    uint32_t bytes_3_5 = kg_uxtab16_ror8(minus_zero, last);
    words[0] = kg_pkhbt(bytes_0_2, bytes_1_3);
    words[2] = kg_pkhbt(bytes_1_3, bytes_2_4);
    words[4] = kg_pkhbt(bytes_2_4, bytes_3_5);
}

uint32_t *kg_panel_weights_across(const uint8_t *a, const uint8_t *b, int32_t taps, int32_t count,
                                  int32_t zero, uint32_t *words) {
    uint32_t minus_zero = kg_halves(-zero, -zero);
    for (; taps == 3 && count >= 6; count -= 6, a += 6, b += 6, words += 6) {
        pair_threes(a, minus_zero, words);
        pair_threes(b, minus_zero, words + 1);
    }
    for (; count >= 2 * taps; count -= 2 * taps, a += taps, b += taps) {
        for (int32_t v = 0; v < taps; v++, a++, b++, words += 2) {
            words[0] = kg_halves(a[0] - zero, a[taps] - zero);
            words[1] = kg_halves(b[0] - zero, b[taps] - zero);
        }
    }
    for (int32_t v = 0; v < count; v++, words += 2) {
        words[0] = kg_halves(a[v] - zero, 0);
        words[1] = kg_halves(b[v] - zero, 0);
    }
    return words;
}

// Four sums at most, not side by side.
static void round_apart(const kg_panel_t *panel, const int32_t *sums, int32_t count, uint8_t *y) {
    uint8_t bytes[KG_PANEL_POSITIONS];
    kg_round_few(&panel->rounding, sums, count, bytes);
    for (int32_t j = 0; j < count; j++) {
        y[j * panel->step] = bytes[j];
    }
}

// Blocks that are whole, rounded the fast way, side by side.
static void whole_blocks(const kg_panel_t *panel, const uint32_t *stream, bool two, int32_t blocks,
                         uint8_t *y) {
    const uint32_t *end = stream + panel->stream;
    const uint32_t *line = panel->lines;
    int32_t sums[2 * KG_PANEL_POSITIONS];
    for (; blocks > 0; blocks--, line += panel->block, y += KG_PANEL_POSITIONS) {
        panel->products(line, stream, end, panel->pitch, sums);
        kg_round_fast(&panel->rounding, sums[0], sums[1], sums[2], sums[3], y);
        if (two) {
            kg_round_fast(&panel->rounding, sums[4], sums[5], sums[6], sums[7], y + panel->plane);
        }
    }
}

void kg_panel_rows(const kg_panel_t *panel, const uint32_t *stream, bool two, int32_t count,
                   uint8_t *y) {
    int32_t blocks = panel->rounding.fast && panel->step == 1 ? count / KG_PANEL_POSITIONS : 0;
    whole_blocks(panel, stream, two, blocks, y);
    int32_t sums[2 * KG_PANEL_POSITIONS];
    const uint32_t *line = panel->lines + blocks * panel->block;
    y += blocks * KG_PANEL_POSITIONS;
    count -= blocks * KG_PANEL_POSITIONS;
    for (; count > 0; count -= KG_PANEL_POSITIONS, line += panel->block) {
        int32_t left = count < KG_PANEL_POSITIONS ? count : KG_PANEL_POSITIONS;
        panel->products(line, stream, stream + panel->stream, panel->pitch, sums);
        round_apart(panel, sums, left, y);
        if (two) {
            round_apart(panel, sums + KG_PANEL_POSITIONS, left, y + panel->plane);
        }
        y += KG_PANEL_POSITIONS * panel->step;
    }
}
