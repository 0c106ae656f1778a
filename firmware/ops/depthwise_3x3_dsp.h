// SPDX-License-Identifier: Apache-2.0
// Depthwise outputs of three by three taps, four side by side at a time.
#ifndef KG_OPS_DEPTHWISE_3X3_DSP_H
#define KG_OPS_DEPTHWISE_3X3_DSP_H

#include <stdint.h>

// One channel: for each row of taps (0, 1) and (1, 2) as halves, less the zero point; the bias; and
// the fast rounding of rounding_dsp.h.
typedef struct {
    uint32_t weights[6];
    int32_t bias, multiplier, offset, shift;
} kg_depthwise_3x3_t;

// Writes 4 * blocks outputs, blocks > 0. `from` is at a word: the first of three rows of inputs
// less their zero point, `pitch` bytes apart.
void kg_depthwise_3x3_blocks(const int16_t *from, int32_t pitch, const kg_depthwise_3x3_t *channel,
                             uint8_t *y, int32_t blocks);

#endif
