// SPDX-License-Identifier: Apache-2.0
// Weight gradients of kernels of three by three from bytes, for Cortex-M4 and M7: less to prepare
// than pairs_dsp.h, and cheaper where channels have no partner.
#ifndef KG_OPS_SQUARE_ROWS_DSP_H
#define KG_OPS_SQUARE_ROWS_DSP_H

#include "ops/dims.h"
#include "ops/taps_u8.h"

// Bytes from one row of a padded map to the next, for maps of some width; 0: there is no such loop.
int32_t kg_square_pitch(const kg_conv_dims_t *dims, int32_t width);

// Copies the channels of one group with their padding: (channels, height, pitch). Whole words.
void kg_square_pad(const kg_conv_dims_t *dims, const uint8_t *x, int32_t zero, int32_t height,
                   int32_t pitch, uint8_t *maps);

// sums[u][v] += sum of error * map[offset + u * pitch + v] over a list that ends with an error of
// 0.
void kg_square_dot(const kg_tap_t *list, const uint8_t *map, int32_t pitch, int32_t *sums);

#endif
