// SPDX-License-Identifier: Apache-2.0
// The l1 norm of one row of uint8 errors: what sparse updates rank rows by.
#ifndef KG_OPS_NORM_H
#define KG_OPS_NORM_H

#include <stdint.h>

// Sum of |e[i] - 128|.
typedef int32_t kg_norm_u8_fn(const uint8_t *e, int32_t count);

kg_norm_u8_fn kg_norm_u8;
kg_norm_u8_fn kg_norm_u8_dsp;  // the same for cores with the DSP extension

#endif
