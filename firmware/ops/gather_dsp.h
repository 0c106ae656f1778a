// SPDX-License-Identifier: Apache-2.0
// Input gradients for Cortex-M4 and M7: every input element gathers the errors of the outputs that
// have read it. Convolution and transposed convolution differ in which these are.
#ifndef KG_OPS_GATHER_DSP_H
#define KG_OPS_GATHER_DSP_H

#include "ops/dims.h"
#include "ops/kept.h"

#include <stdbool.h>

// 0 if it would be more than is reasonable: then plain C serves.
size_t kg_gather_u8_scratch_bytes(const kg_conv_dims_t *dims);

// dx[i,h,k] = clamp(128 + rq(sum_{o,u,v} (w[o,i,u,v] - z_w) (e[o,r,c] - 128) f[o]), 0, 255) over
// the readers (r, c), 128 where mask[i,h,k] <= z_x. Returns the largest |sum|.
int32_t kg_gather_u8(const kg_conv_dims_t *dims, bool transposed, const uint8_t *e,
                     const kg_kept_t *kept, const uint8_t *w, const kg_conv_quant_t *quant,
                     const uint8_t *mask, uint8_t *dx, void *scratch);

#endif
