// SPDX-License-Identifier: Apache-2.0
// Sums of pairs and lists of errors for Cortex-M4 and M7.
#include "ops/pairs_dsp.h"

#include "ops/dsp.h"
#include "ops/error.h"

#define NO_ERRORS 0x80808080u  // four of them

// No array: these stay in registers.
typedef struct {
    int64_t pair0, pair1, pair2, pair3;
} quad_t;

// Adds value * each of the four pairs at base + offset, for all taps of a list that is not empty.
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

static inline void store(int64_t pair, int32_t first, int32_t second, int32_t *sums) {
    sums[0] = kg_pair_first(pair) + first;
    sums[1] = kg_pair_second(pair) + second;
}

void kg_pairs_dot(const kg_part_t *part, kg_dot_t *dot) {
    const kg_part_t *end = dot->end;
    int32_t skip = dot->skip;
    int32_t first = dot->first;
    int32_t second = dot->second;
    quad_t quad = {0, 0, 0, 0};
    for (; part < end; part++) {
        add_list(&quad, part->list, (const char *)part->base + skip);
    }
    store(quad.pair0, first, second, dot->sums);
    store(quad.pair1, first, second, dot->sums + 2);
    store(quad.pair2, first, second, dot->sums + 4);
    store(quad.pair3, first, second, dot->sums + 6);
}

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
