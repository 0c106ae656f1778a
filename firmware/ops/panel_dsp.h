// SPDX-License-Identifier: Apache-2.0
// Products of two rows of weights with four columns of inputs at a time, as 16-bit numbers in
// pairs.
//
// A line of words holds two neighbours of the fan-in, k and k + 1, of one output position after the
// other, less their zero point. A stream holds the weights of two rows: first their two biases,
// then for each pair of the fan-in one word of each row, less the zero point. What the fan-in lacks
// for whole pairs has the weight zero.
#ifndef KG_OPS_PANEL_DSP_H
#define KG_OPS_PANEL_DSP_H

#include <stdint.h>

#define KG_PANEL_POSITIONS 4

// Writes count words: (a[j] - zero, b[j] - zero). Four in a row lie together, the next four lie
// `pitch` words behind their start.
void kg_panel_line(const uint8_t *a, const uint8_t *b, int32_t count, int32_t zero, uint32_t *line,
                   int32_t pitch);

// Writes one word of each row for count / 2 pairs that follow one another; a last number that has
// no partner gets one of weight zero. Returns the end of the words.
uint32_t *kg_panel_weights(const uint8_t *a, const uint8_t *b, int32_t count, int32_t zero,
                           uint32_t *words);

// The same where `taps` pairs lie side by side: number v goes with number v + taps; without a
// second line (count < 2 * taps) alone.
uint32_t *kg_panel_weights_across(const uint8_t *a, const uint8_t *b, int32_t taps, int32_t count,
                                  int32_t zero, uint32_t *words);

// sums[0..3] of the stream's first row, sums[4..7] of its second, at four positions. The fan-in has
// an even number of pairs, their words at x: four, and the next four behind them. `end` is that of
// the stream.
void kg_panel_products(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                       int32_t *sums);

// The same for windows three wide that overlap: word j + v of a line is under tap v of position j;
// the next line starts `pitch` words behind.
void kg_panel_products_3(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                         int32_t *sums, int32_t pitch);

#endif
