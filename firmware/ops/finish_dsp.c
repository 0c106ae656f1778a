// SPDX-License-Identifier: Apache-2.0
// Sums to errors: mask, rounding and largest sum of an element in eleven instructions.
#include "ops/finish_dsp.h"

#include "ops/error.h"

// Fast rounding. A sum, its fraction included, is larger than any before where sum + reach, without
// sign, is above span: one comparison for both signs.
typedef struct {
    int32_t multiplier, offset, shift, fraction;
    uint32_t reach, span;
} fast_t;

static inline void see(fast_t *fast, int32_t largest) {
    fast->reach = (uint32_t)largest << fast->fraction;
    fast->span = ((2u * (uint32_t)largest + 1u) << fast->fraction) - 1u;
}

static inline uint8_t finish_one(fast_t *fast, int32_t sum) {
    int32_t whole = sum >> fast->fraction;
    if (__builtin_expect((uint32_t)sum + fast->reach > fast->span, 0)) {
        see(fast, whole < 0 ? -whole : whole);
    }
    int32_t error = kg_smmla(whole, fast->multiplier, fast->offset) >> fast->shift;
    return (uint8_t)kg_clamp(error, 0, 255);
}

// finish_words: whole words of masks, at least one.
#ifdef __ARM_FEATURE_DSP

#define FINISH_BYTE(number)                                                                        \
    "tst %[open], #0xff << (8 * " number ")\n\t"                                                   \
    "beq 4" number "f\n\t"                                                                         \
    "ldr %[sum], [%[sums], #4 * " number "]\n\t"                                                   \
    "add %[other], %[sum], %[reach]\n\t"                                                           \
    "asr %[sum], %[sum], %[fraction]\n\t"                                                          \
    "cmp %[other], %[span]\n\t"                                                                    \
    "bhi 2" number "f\n"                                                                           \
    "3" number ":\n\t"                                                                             \
    "smmla %[sum], %[sum], %[multiplier], %[offset]\n\t"                                           \
    "asr %[sum], %[sum], %[shift]\n\t"                                                             \
    "usat %[sum], #8, %[sum]\n\t"                                                                  \
    "strb %[sum], [%[dx], #" number "]\n"                                                          \
    "4" number ":\n\t"

// What see() does.
#define SEE(number)                                                                                \
    "2" number ":\n\t"                                                                             \
    "eor %[other], %[sum], %[sum], asr #31\n\t"                                                    \
    "sub %[other], %[other], %[sum], asr #31\n\t"                                                  \
    "lsl %[reach], %[other], %[fraction]\n\t"                                                      \
    "lsl %[other], %[other], #1\n\t"                                                               \
    "add %[other], %[other], #1\n\t"                                                               \
    "lsl %[span], %[other], %[fraction]\n\t"                                                       \
    "sub %[span], %[span], #1\n\t"                                                                 \
    "b 3" number "b\n"

// By hand, as it takes all fourteen registers: compilers spill some.
__attribute__((noinline)) static void finish_words(fast_t *fast, const int32_t *sums,
                                                   const uint8_t *mask, uint32_t zeros,
                                                   int32_t words, uint8_t *dx) {
    uint32_t open, other;
    int32_t sum;
    __asm__ volatile(
        "1:\n\t"
        "ldr %[open], [%[mask]], #4\n\t"
        "mov %[other], #0x80808080\n\t"
        "uqsub8 %[open], %[open], %[zeros]\n\t"
        "str %[other], [%[dx]]\n\t"  //
        FINISH_BYTE("0") FINISH_BYTE("1") FINISH_BYTE("2")
            FINISH_BYTE("3") "add %[dx], %[dx], #4\n\t"
                             "cmp %[dx], %[end]\n\t"
                             "add %[sums], %[sums], #16\n\t"
                             "bcc 1b\n\t"
                             "b 5f\n"  //
        SEE("0") SEE("1") SEE("2") SEE("3") "5:"
        : [open] "=&r"(open), [other] "=&r"(other), [sum] "=&r"(sum), [sums] "+r"(sums),
          [mask] "+r"(mask), [dx] "+r"(dx), [reach] "+r"(fast->reach), [span] "+r"(fast->span)
        : [zeros] "r"(zeros), [end] "r"(dx + 4 * words), [multiplier] "r"(fast->multiplier),
          [offset] "r"(fast->offset), [shift] "r"(fast->shift), [fraction] "r"(fast->fraction)
        : "cc", "memory");
}

#else

static void finish_words(fast_t *fast, const int32_t *sums, const uint8_t *mask, uint32_t zeros,
                         int32_t words, uint8_t *dx) {
    int32_t zero = (int32_t)(zeros & 0xffu);
    for (int32_t i = 0; i < 4 * words; i++) {
        dx[i] = mask[i] > zero ? finish_one(fast, sums[i]) : KG_ERROR_ZERO;
    }
}

#endif

// Any factor. Returns the largest |sum|.
static int32_t finish_any(const kg_finish_t *how, const int32_t *sums, const uint8_t *mask,
                          int32_t count, uint8_t *dx, int32_t largest) {
    for (int32_t i = 0; i < count; i++) {
        uint8_t error = KG_ERROR_ZERO;
        if (mask == NULL || mask[i] > how->mask_zero) {
            int32_t sum = sums[i] >> how->fraction;
            largest = kg_largest(largest, sum);
            error = kg_error(sum, how->rounding.factor);
        }
        dx[i] = error;
    }
    return largest;
}

int32_t kg_finish_errors(const kg_finish_t *how, const int32_t *sums, const uint8_t *mask,
                         int32_t count, uint8_t *dx, int32_t largest) {
    if (!how->rounding.fast) {
        return finish_any(how, sums, mask, count, dx, largest);
    }
    fast_t fast = {.multiplier = how->rounding.multiplier,
                   .offset = how->rounding.offset,
                   .shift = how->rounding.shift,
                   .fraction = how->fraction};
    int32_t i = 0;
    see(&fast, largest);
    if (mask != NULL && count >= 4) {
        finish_words(&fast, sums, mask, (uint32_t)how->mask_zero * 0x01010101u, count / 4, dx);
        i = count & ~3;
    }
    for (; i < count; i++) {
        bool open = mask == NULL || mask[i] > how->mask_zero;
        dx[i] = open ? finish_one(&fast, sums[i]) : KG_ERROR_ZERO;
    }
    return (int32_t)(fast.reach >> fast.fraction);
}
