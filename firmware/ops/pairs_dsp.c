// SPDX-License-Identifier: Apache-2.0
// Lists of errors for the sums of pairs_dsp.h.
#include "ops/pairs_dsp.h"

#include "ops/dsp.h"
#include "ops/error.h"

#define NO_ERRORS 0x80808080u  // four of them

// Always writes, and moves on if the error counts.
static inline kg_tap_t *append(kg_tap_t *end, uint32_t byte, int32_t offset) {
    int32_t error = (int32_t)(byte & 0xffu) - KG_ERROR_ZERO;
    end->offset = offset;
    end->value = error;
    return error != 0 ? end + 1 : end;
}

void kg_errors_append(kg_errors_t *errors, const uint8_t *e, int32_t count, int32_t first,
                      int32_t step) {
    const uint8_t *end = e + count;
    kg_tap_t *to = errors->end;
    uint32_t total = 0;
    for (; e + 4 <= end; e += 4, first += 4 * step) {
        uint32_t word = kg_load_word(e);
        if (word != NO_ERRORS) {
            to = append(to, word, first);
            to = append(to, word >> 8, first + step);
            to = append(to, word >> 16, first + 2 * step);
            to = append(to, word >> 24, first + 3 * step);
            total = kg_add_bytes(word, total) - 4 * KG_ERROR_ZERO;
        }
    }
    for (; e < end; e++, first += step) {
        to = append(to, *e, first);
        total += (uint32_t)(*e - KG_ERROR_ZERO);
    }
    errors->end = to;
    errors->total += (int32_t)total;
}
