// SPDX-License-Identifier: Apache-2.0
// Sums of pairs for two instructions at a time: the loads of one tap beside the products of
// another.
//
// A product may use what was loaded two cycles before, a load what was loaded two cycles before as
// its address. Two taps take turns: the address of one is where the other has its second and its
// fourth pair. That needs one register more than there are, so the end of the list is on the stack.
#include "ops/pairs_dot_template.h"

// clang-format off: a line here is what goes together in one cycle

#define LOAD(to, from) "ldr %[" to "], [" from "]\n\t"
#define ADD(sum, pair) "smlal %Q[" sum "], %R[" sum "], %[value], %[" pair "]\n\t"

// Adds a tap, the last one or one by itself: pairs 0 and 1 are in `even` and `odd`, its address in
// `at`.
#define ADD_TAP(at, even, odd)                      \
    ADD("sum0", even)   LOAD(even, "%[" at "], #8") \
    ADD("sum1", odd)    LOAD(at, "%[" at "], #12")  \
    ADD("sum2", even)                               \
    ADD("sum3", at)

// From the tap's offset in `at` to its first two pairs.
#define FIRST_PAIRS(at)                       \
    "add %[" at "], %[base]\n\t"              \
    LOAD("even", "%[" at "]")

// The loop takes two taps a turn and leaves one: an even number begins with one by itself.
static inline void add_list(quad_t *sums, kg_tap_list_t list, const void *base) {
    const kg_tap_t *even = list.end;
    int32_t value, one, other;
    __asm__("push {%[even]}\n\t"
            "sub %[one], %[even], %[tap]\n\t"
            "lsls %[one], %[one], #28\n\t"
            "bmi 1f\n\t"
            LOAD("one", "%[tap]")           LOAD("value", "%[tap], #4")
            "add %[tap], #8\n\t"
            FIRST_PAIRS("one")              LOAD("other", "%[one], #4")
            ADD_TAP("one", "even", "other")
            "1:\n\t"
            LOAD("one", "%[tap]")           LOAD("value", "%[tap], #4")
            "add %[tap], #8\n\t"           LOAD("other", "sp")
            FIRST_PAIRS("one")
            "cmp %[tap], %[other]\n\t"
            LOAD("other", "%[one], #4")     "beq 3f\n"
            "2:\n\t"
            ADD("sum0", "even")             LOAD("even", "%[one], #8")
            ADD("sum1", "other")            LOAD("other", "%[tap]")
            ADD("sum2", "even")             LOAD("one", "%[one], #12")
            LOAD("even", "%[base], %[other]")
            "add %[other], %[base]\n\t"
            ADD("sum3", "one")              LOAD("value", "%[tap], #4")
            LOAD("one", "%[other], #4")     "add %[tap], #16\n\t"
            ADD("sum0", "even")             LOAD("even", "%[other], #8")
            ADD("sum1", "one")              LOAD("one", "%[tap], #-8")
            ADD("sum2", "even")             LOAD("other", "%[other], #12")
            LOAD("even", "sp")              "add %[one], %[base]\n\t"
            ADD("sum3", "other")            "cmp %[tap], %[even]\n\t"
            LOAD("even", "%[one]")          LOAD("value", "%[tap], #-4")
            LOAD("other", "%[one], #4")     "bne 2b\n"
            "3:\n\t"
            ADD_TAP("one", "even", "other")
            "add sp, #4"
            : [sum0] "+r"(sums->pair0), [sum1] "+r"(sums->pair1), [sum2] "+r"(sums->pair2),
              [sum3] "+r"(sums->pair3), [tap] "+r"(list.first), [even] "+r"(even),
              [value] "=&r"(value), [one] "=&r"(one), [other] "=&r"(other)
            : [base] "r"(base)
            : "cc", "memory");
}

// clang-format on
