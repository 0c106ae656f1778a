// SPDX-License-Identifier: Apache-2.0
// Lines of inputs and streams of weights for panel_dsp.h.
#include "ops/dsp.h"
#include "ops/panel_dsp.h"

void kg_panel_line(const uint8_t *a, const uint8_t *b, int32_t count, int32_t zero, uint32_t *line,
                   int32_t pitch) {
    uint32_t minus_zero = kg_halves(-zero, -zero);
    for (; count >= 4; count -= 4, a += 4, b += 4, line += pitch) {
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

uint32_t *kg_panel_weights_across(const uint8_t *a, const uint8_t *b, int32_t taps, int32_t count,
                                  int32_t zero, uint32_t *words) {
    uint32_t zeros = kg_halves(zero, zero);
    for (; count >= 2 * taps; count -= 2 * taps, a += taps, b += taps) {
        for (int32_t v = 0; v < taps; v++, a++, b++, words += 2) {
            words[0] = kg_ssub16(a[0] | (uint32_t)a[taps] << 16, zeros);
            words[1] = kg_ssub16(b[0] | (uint32_t)b[taps] << 16, zeros);
        }
    }
    for (int32_t v = 0; v < count; v++, words += 2) {
        words[0] = kg_halves(a[v] - zero, 0);
        words[1] = kg_halves(b[v] - zero, 0);
    }
    return words;
}
