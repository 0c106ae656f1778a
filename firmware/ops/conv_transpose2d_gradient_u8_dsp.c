// SPDX-License-Identifier: Apache-2.0
// Input gradient of transposed convolution in uint8 for Cortex-M4 and M7: the bits of
// conv_transpose2d_u8.c.
#include "ops/conv_transpose2d.h"
#include "ops/gather_dsp.h"

size_t kg_conv_transpose2d_u8_input_gradient_dsp_scratch_bytes(const kg_conv_dims_t *dims) {
    size_t bytes = kg_gather_u8_scratch_bytes(dims);
    return bytes != 0 ? bytes : kg_conv_transpose2d_u8_input_gradient_scratch_bytes(dims);
}

int32_t kg_conv_transpose2d_u8_input_gradient_dsp(const kg_conv_dims_t *dims, const uint8_t *e,
                                                  const kg_kept_t *kept, const uint8_t *w,
                                                  const kg_conv_quant_t *quant, const uint8_t *mask,
                                                  uint8_t *dx, void *scratch) {
    if (kg_gather_u8_scratch_bytes(dims) == 0) {
        return kg_conv_transpose2d_u8_input_gradient(dims, e, kept, w, quant, mask, dx, scratch);
    }
    return kg_gather_u8(dims, true, e, kept, w, quant, mask, dx, scratch);
}
