// SPDX-License-Identifier: Apache-2.0
// What the kernels for Cortex-M0+ share: lists of operands, one list against many rows of bytes,
// and the way from sums to bytes without a 64-bit product.
//
// The core multiplies 32 x 32 bits to the low 32 only, and overwrites an operand; eight registers
// take part in arithmetic, the others can be added to. So one pass over a list serves two rows.
#ifndef KG_OPS_TAPS_V6M_H
#define KG_OPS_TAPS_V6M_H

#include "ops/dims.h"
#include "ops/kept.h"
#include "ops/taps_u8.h"

#define KG_ROWS_V6M 16  // rows that kernels give to one call: 64 bytes of stack

// Bytes to list: channels x height x width of them, and the offsets of their partners.
typedef struct {
    const uint8_t *values;            // the first
    int32_t zero;                     // is taken off; what is equal to it is left out
    int32_t width, height, channels;  // each at least 1
    int32_t step, row, channel;       // from one value to the next
    int32_t offset;                   // of the first value's partner
    int32_t offset_step, offset_row, offset_channel;
} kg_block_v6m_t;

// Appends a block to a list and the sum of what it appends to *total. Returns the new end.
kg_tap_t *kg_taps_append_v6m(const kg_block_v6m_t *block, kg_tap_t *end, int32_t *total);

// A block of one value per channel reads as a row.
void kg_block_turn_v6m(kg_block_v6m_t *block);

// Appends the kept rows of a layer: block is that of a channel 0 that `first` of the layer's rows
// come before, and knows the way to the next channels. Values count their factor times. NULL: all.
kg_tap_t *kg_taps_append_kept_v6m(const kg_block_v6m_t *block, const kg_kept_t *kept, int32_t first,
                                  kg_tap_t *end, int32_t *total);

// rows[j] = sum over the list of value * partners[rows[j] + offset], for j < count.
void kg_taps_dot_v6m(kg_tap_list_t list, const uint8_t *partners, int32_t *rows, int32_t count);

// y[j * step] = the output that holds sums[j] + b[j] + base, for j < count.
void kg_outputs_v6m(const int32_t *sums, const int32_t *b, int32_t count, int32_t base,
                    const kg_conv_quant_t *quant, uint8_t *y, int32_t step);

// The errors that hold (sums[j] + base) >> fraction, at dx[places[j]], for j < count. Returns the
// largest |sum|, at least `largest`.
int32_t kg_errors_v6m(const int32_t *sums, const int32_t *places, int32_t count, int32_t base,
                      int32_t fraction, kg_requant_t factor, uint8_t *dx, int32_t largest);

#endif
