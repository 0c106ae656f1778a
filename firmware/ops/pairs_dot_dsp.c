// SPDX-License-Identifier: Apache-2.0
// Sums of pairs for Cortex-M4.
#include "ops/pairs_dot_template.h"

#ifdef __ARM_FEATURE_DSP

#define ADD_TAP                                                                                    \
    "ldrd %[word], %[value], [%[tap]], #8\n\t"                                                     \
    "add %[at], %[base], %[word]\n\t"                                                              \
    "ldr %[word], [%[at]]\n\t"                                                                     \
    "smlal %Q[sum0], %R[sum0], %[value], %[word]\n\t"                                              \
    "ldr %[word], [%[at], #4]\n\t"                                                                 \
    "smlal %Q[sum1], %R[sum1], %[value], %[word]\n\t"                                              \
    "ldrd %[word], %[at], [%[at], #8]\n\t"                                                         \
    "smlal %Q[sum2], %R[sum2], %[value], %[word]\n\t"                                              \
    "smlal %Q[sum3], %R[sum3], %[value], %[at]\n\t"

// By hand, as it takes all fourteen registers: compilers spill some. One, two, then four at a time.
static inline void add_list(quad_t *sums, kg_tap_list_t list, const void *base) {
    int32_t word, value, at;
    __asm__("sub %[word], %[end], %[tap]\n\t"
            "lsls %[word], %[word], #28\n\t"
            "bpl 1f\n\t" ADD_TAP "cmp %[tap], %[end]\n\t"
            "bcs 4f\n"
            "1:\n\t"
            "sub %[word], %[end], %[tap]\n\t"
            "lsls %[word], %[word], #27\n\t"
            "bpl 3f\n\t" ADD_TAP ADD_TAP "cmp %[tap], %[end]\n\t"
            "bcs 4f\n"
            "3:\n\t" ADD_TAP ADD_TAP ADD_TAP ADD_TAP "cmp %[tap], %[end]\n\t"
            "bcc 3b\n"
            "4:"
            : [sum0] "+r"(sums->pair0), [sum1] "+r"(sums->pair1), [sum2] "+r"(sums->pair2),
              [sum3] "+r"(sums->pair3), [tap] "+r"(list.first), [word] "=&r"(word),
              [value] "=&r"(value), [at] "=&r"(at)
            : [end] "r"(list.end), [base] "r"(base)
            : "cc", "memory");
}

#else

static inline void add_list(quad_t *sums, kg_tap_list_t list, const void *base) {
    for (const kg_tap_t *tap = list.first; tap < list.end; tap++) {
        const int32_t *pairs = (const int32_t *)((const char *)base + tap->offset);
        sums->pair0 += (int64_t)tap->value * pairs[0];
        sums->pair1 += (int64_t)tap->value * pairs[1];
        sums->pair2 += (int64_t)tap->value * pairs[2];
        sums->pair3 += (int64_t)tap->value * pairs[3];
    }
}

#endif
