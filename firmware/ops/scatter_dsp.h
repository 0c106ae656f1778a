// SPDX-License-Identifier: Apache-2.0
// Input gradients for Cortex-M4 and M7 where few errors are left: every error adds to the inputs
// that it comes from, and inputs that none reaches cost their rounding only.
#ifndef KG_OPS_SCATTER_DSP_H
#define KG_OPS_SCATTER_DSP_H

#include "ops/dims.h"
#include "ops/kept.h"

#include <stddef.h>

#define KG_SCATTER_TOO_MANY (-1)  // errors: gather_dsp.h is faster, or scratch is too small

// What kg_gather_u8 does, for a convolution without groups; `bytes`: of scratch. Returns the
// largest |sum|, or KG_SCATTER_TOO_MANY before anything but scratch is written.
int32_t kg_scatter_u8(const kg_conv_dims_t *dims, const uint8_t *e, const kg_kept_t *kept,
                      const uint8_t *w, const kg_conv_quant_t *quant, const uint8_t *mask,
                      uint8_t *dx, void *scratch, size_t bytes);

#endif
