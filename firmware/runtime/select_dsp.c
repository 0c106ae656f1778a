// SPDX-License-Identifier: Apache-2.0
// Selection of rows of uint8 layers on Cortex-M4 and M7: norms of four errors at a time.
#include "ops/dsp.h"
#include "ops/error.h"
#include "runtime/select.h"

#define NO_ERRORS 0x80808080u  // four of them

void kg_step_select_u8_dsp(const void *args, kg_training_t *training) {
    const kg_select_u8_t *a = args;
    const uint8_t *e = a->e;
    for (int32_t j = 0; j < a->how.rows; j++) {
        const uint8_t *end = e + a->how.positions;
        uint32_t sum = 0;
        for (; end - e >= 4; e += 4) {
            sum = kg_add_distances(kg_load_word(e), NO_ERRORS, sum);
        }
        for (; e < end; e++) {
            int32_t error = *e - KG_ERROR_ZERO;
            sum += (uint32_t)(error < 0 ? -error : error);
        }
        a->how.norms[j] = (int32_t)sum;
    }
    kg_select_rows_u8(&a->how, training);
}
