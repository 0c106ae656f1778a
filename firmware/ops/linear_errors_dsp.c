// SPDX-License-Identifier: Apache-2.0
// The loop of linear_errors_dsp.h for Cortex-M4.
#include "ops/linear_errors_template.h"

#include "ops/dsp.h"

// Adds one tap and moves on to the next.
static inline const kg_tap_t *add_tap(sums_t *sums, const kg_tap_t *tap, const uint8_t *w) {
#ifdef __ARM_FEATURE_DSP
    uint32_t word, value, at;
    __asm__("ldrd %[at], %[value], [%[tap]], #8\n\t"
            "ldr %[word], [%[w], %[at]]\n\t"
            "and %[at], %[mask], %[word]\n\t"
            "umlal %Q[outer], %R[outer], %[value], %[at]\n\t"
            "and %[at], %[mask], %[word], ror #16\n\t"
            "umlal %Q[inner], %R[inner], %[value], %[at]"
            : [outer] "+r"(sums->outer), [inner] "+r"(sums->inner), [tap] "+r"(tap),
              [word] "=&r"(word), [value] "=&r"(value), [at] "=&r"(at)
            : [w] "r"(w), [mask] "r"(KG_LINEAR_OUTER_BYTES)
            : "memory");
    return tap;
#else
    uint32_t word = kg_load_word(w + tap->offset);
    uint32_t value = (uint32_t)tap->value;
    sums->outer += (uint64_t)value * (word & KG_LINEAR_OUTER_BYTES);
    sums->inner += (uint64_t)value * ((word >> 16 | word << 16) & KG_LINEAR_OUTER_BYTES);
    return tap + 1;
#endif
}

static inline sums_t add_list(sums_t sums, kg_tap_list_t list, const uint8_t *w) {
    const kg_tap_t *tap = list.first;
    while (((list.end - tap) & 3) != 0) {
        tap = add_tap(&sums, tap, w);
    }
    while (tap < list.end) {
        tap = add_tap(&sums, tap, w);
        tap = add_tap(&sums, tap, w);
        tap = add_tap(&sums, tap, w);
        tap = add_tap(&sums, tap, w);
    }
    return sums;
}
