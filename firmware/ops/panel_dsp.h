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

#include <stdbool.h>
#include <stdint.h>

#include "ops/rounding_dsp.h"

#define KG_PANEL_POSITIONS 4
#define KG_PANEL_SMALL_STREAMS 6144  // bytes of streams that are worth keeping, not made anew
#define KG_PANEL_AHEAD 8             // bytes behind a stream that may be loaded, and not used
#define KG_PANEL_TILE_WORDS 1024
#define KG_PANEL_TILE_POSITIONS 64

// sums[0..3] of the stream's first row, sums[4..7] of its second, at four positions whose lines
// begin at x. `end` is that of the stream.
typedef void kg_panel_products_t(const uint32_t *x, const uint32_t *stream, const uint32_t *end,
                                 int32_t pitch, int32_t *sums);

// A line for each element of the fan-in: four words of one, then four of the next; an even number
// of pairs.
kg_panel_products_t kg_panel_products_1;

// A line for each row of a window, three or five wide, at strides of one or two: word j + v is
// under tap v of position j (2 * j + v); the next line starts `pitch` words behind.
kg_panel_products_t kg_panel_products_3;
kg_panel_products_t kg_panel_products_3_by_2;
kg_panel_products_t kg_panel_products_5;

// Lines that stand ready and what becomes of their products.
typedef struct {
    kg_rounding_t rounding;
    const uint32_t *lines;
    kg_panel_products_t *products;
    int32_t pitch, block;  // words from one line to the next, from four positions to the next
    int32_t pairs;         // of the fan-in
    int32_t stream;        // words of a stream
    int32_t plane;         // from one output channel to the next
    int32_t step;          // from one output position to the next
} kg_panel_t;

static inline int32_t kg_panel_round_up(int32_t value, int32_t step) {
    return (value + step - 1) / step * step;
}

// How many of these positions to give lines of `pairs` words at once: the lines stay small, but new
// streams must pay for two blocks.
static inline int32_t kg_panel_tile(int32_t positions, int32_t pairs) {
    int32_t fit = KG_PANEL_TILE_WORDS / pairs / KG_PANEL_POSITIONS * KG_PANEL_POSITIONS;
    int32_t all = kg_panel_round_up(positions, KG_PANEL_POSITIONS);
    fit = fit > KG_PANEL_TILE_POSITIONS ? KG_PANEL_TILE_POSITIONS : fit < 8 ? 8 : fit;
    return fit < all ? fit : all;
}

// Copies what a row shows at first, first + step ...: `count` bytes, zero points where that is not
// one of its `width` bytes. row may be NULL: all zero points.
void kg_panel_copy(const uint8_t *row, int32_t width, int32_t first, int32_t step, int32_t count,
                   uint8_t zero, uint8_t *to);

// Writes count words: (a[j] - zero, b[j] - zero). Four in a row lie together, the next four lie
// `step` words behind their start.
void kg_panel_line(const uint8_t *a, const uint8_t *b, int32_t count, int32_t zero, uint32_t *line,
                   int32_t step);

// Writes one word of each row for count / 2 pairs that follow one another; a last number that has
// no partner gets one of weight zero. Returns the end of the words.
uint32_t *kg_panel_weights(const uint8_t *a, const uint8_t *b, int32_t count, int32_t zero,
                           uint32_t *words);

// The same where `taps` pairs lie side by side: number v goes with number v + taps; without a
// second line (count < 2 * taps) alone.
uint32_t *kg_panel_weights_across(const uint8_t *a, const uint8_t *b, int32_t taps, int32_t count,
                                  int32_t zero, uint32_t *words);

// Two output channels (or the first of them only) at `count` positions, rounded.
void kg_panel_rows(const kg_panel_t *panel, const uint32_t *stream, bool two, int32_t count,
                   uint8_t *y);

#endif
