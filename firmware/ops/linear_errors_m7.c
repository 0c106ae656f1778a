// SPDX-License-Identifier: Apache-2.0
// The loop of linear_errors_dsp.h for two instructions at a time: two taps side by side.
#include "ops/linear_errors_template.h"

// clang-format off: a line here is what goes together in one cycle

#define LOAD(to, from) "ldr %[" to "], [" from "]\n\t"
#define ADD(sum, value, word) "umlal %Q[" sum "], %R[" sum "], %[" value "], %[" word "]\n\t"
#define OUTER(to, word) "and %[" to "], %[mask], %[" word "]\n\t"
#define INNER(to, word) "and %[" to "], %[mask], %[" word "], ror #16\n\t"

static inline const kg_tap_t *add_tap(sums_t *sums, const kg_tap_t *tap, const uint8_t *w) {
    uint32_t at, value, word;
    __asm__(LOAD("at", "%[tap]")         LOAD("value", "%[tap], #4")
            "add %[tap], #8\n\t"
            LOAD("word", "%[w], %[at]")
            OUTER("at", "word")          INNER("word", "word")
            ADD("outer", "value", "at")
            ADD("inner", "value", "word")
            : [outer] "+r"(sums->outer), [inner] "+r"(sums->inner), [tap] "+r"(tap),
              [at] "=&r"(at), [value] "=&r"(value), [word] "=&r"(word)
            : [w] "r"(w), [mask] "r"(KG_LINEAR_OUTER_BYTES)
            : "memory");
    return tap;
}

static inline const kg_tap_t *add_two_taps(sums_t *sums, const kg_tap_t *tap, const uint8_t *w) {
    uint32_t at0, value0, word0, at1, value1, word1;
    __asm__(LOAD("at0", "%[tap]")          LOAD("at1", "%[tap], #8")
            LOAD("value0", "%[tap], #4")   LOAD("value1", "%[tap], #12")
            LOAD("word0", "%[w], %[at0]")  LOAD("word1", "%[w], %[at1]")
            OUTER("at0", "word0")          OUTER("at1", "word1")
            ADD("outer", "value0", "at0")  INNER("word0", "word0")
            ADD("outer", "value1", "at1")  INNER("word1", "word1")
            ADD("inner", "value0", "word0")
            "add %[tap], #16\n\t"
            ADD("inner", "value1", "word1")
            : [outer] "+r"(sums->outer), [inner] "+r"(sums->inner), [tap] "+r"(tap),
              [at0] "=&r"(at0), [value0] "=&r"(value0), [word0] "=&r"(word0),
              [at1] "=&r"(at1), [value1] "=&r"(value1), [word1] "=&r"(word1)
            : [w] "r"(w), [mask] "r"(KG_LINEAR_OUTER_BYTES)
            : "memory");
    return tap;
}

// clang-format on

static inline sums_t add_list(sums_t sums, kg_tap_list_t list, const uint8_t *w) {
    const kg_tap_t *tap = list.first;
    if (((list.end - tap) & 1) != 0) {
        tap = add_tap(&sums, tap, w);
    }
    while (tap < list.end) {
        tap = add_two_taps(&sums, tap, w);
    }
    return sums;
}
