// SPDX-License-Identifier: Apache-2.0
// Instructions of the Armv7E-M DSP extension by name; cores that lack it compute the same in C.
//
// A word holds two int16 halves (bottom: bits 0 to 15) or four bytes (first in memory: bits 0 to
// 7). Letters b and t in a name choose the bottom or top half of each operand in turn. Saturation
// needs no name: compilers make USAT and SSAT of kg_clamp().
#ifndef KG_OPS_DSP_H
#define KG_OPS_DSP_H

#include <stdint.h>

// Words and halves at any address: one LDR, LDRH, STR or STRH.
static inline uint32_t kg_load_word(const void *from) {
    uint32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return word;
}

static inline uint32_t kg_load_half(const void *from) {
    uint16_t half;
    __builtin_memcpy(&half, from, sizeof half);
    return half;
}

static inline void kg_store_word(void *to, uint32_t word) {
    __builtin_memcpy(to, &word, sizeof word);
}

static inline void kg_store_half(void *to, uint32_t half) {
    uint16_t value = (uint16_t)half;
    __builtin_memcpy(to, &value, sizeof value);
}

static inline int32_t kg_bottom(uint32_t word) {
    return (int16_t)(word & 0xffffu);
}

static inline int32_t kg_top(uint32_t word) {
    return (int16_t)(word >> 16);
}

static inline uint32_t kg_halves(int32_t bottom, int32_t top) {
    return ((uint32_t)bottom & 0xffffu) | (uint32_t)top << 16;
}

#ifdef __ARM_FEATURE_DSP

#include <arm_acle.h>

#define KG_DSP_ONE(name, instruction, rotation)                                                    \
    static inline uint32_t name(uint32_t a) {                                                      \
        uint32_t result;                                                                           \
        __asm__(instruction " %0, %1" rotation : "=r"(result) : "r"(a));                           \
        return result;                                                                             \
    }
#define KG_DSP_TWO(name, instruction, shift)                                                       \
    static inline uint32_t name(uint32_t a, uint32_t b) {                                          \
        uint32_t result;                                                                           \
        __asm__(instruction " %0, %1, %2" shift : "=r"(result) : "r"(a), "r"(b));                  \
        return result;                                                                             \
    }
// Compilers know these, and order them by their latencies.
#define KG_DSP_SUM(name, acle, type)                                                               \
    static inline int32_t name(uint32_t a, uint32_t b, int32_t sum) {                              \
        return acle((type)a, (type)b, sum);                                                        \
    }

// (byte 0, byte 2) and, rotated, (byte 1, byte 3) as halves
KG_DSP_ONE(kg_uxtb16, "uxtb16", "")
KG_DSP_ONE(kg_uxtb16_ror8, "uxtb16", ", ror #8")
// a + (byte 0, byte 2) or (byte 1, byte 3) of b, by halves
KG_DSP_TWO(kg_uxtab16, "uxtab16", "")
KG_DSP_TWO(kg_uxtab16_ror8, "uxtab16", ", ror #8")
// (bottom, top): a half of a, a half of b
KG_DSP_TWO(kg_pkhbb, "pkhbt", ", lsl #16")
KG_DSP_TWO(kg_pkhbt, "pkhbt", "")
// a - b of the four bytes without sign, at least 0
KG_DSP_TWO(kg_uqsub8, "uqsub8", "")
static inline uint32_t kg_pkhtt(uint32_t a, uint32_t b) {
    __asm__("pkhtb %0, %1, %0, asr #16" : "+r"(a) : "r"(b));
    return a;
}
KG_DSP_SUM(kg_smlabt, __smlabt, int32_t)
// sum + bottom * bottom + top * top
KG_DSP_SUM(kg_smlad, __smlad, int16x2_t)

static inline int16_t kg_ssat_half(int32_t a) {
    int32_t half;
    __asm__("ssat %0, #16, %1" : "=r"(half) : "r"(a));
    return (int16_t)half;
}

// sum + |a - b| of the four bytes
static inline uint32_t kg_add_differences(uint32_t a, uint32_t b, uint32_t sum) {
    return __usada8(a, b, sum);
}

// sum + the four bytes of a
static inline uint32_t kg_add_bytes(uint32_t a, uint32_t sum) {
    return __usada8(a, 0, sum);
}

// the larger of each half, without sign
static inline uint32_t kg_umax16(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("usub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
}

// sum + the upper word of a * b, rounded down
static inline int32_t kg_smmla(int32_t a, int32_t b, int32_t sum) {
    int32_t result;
    __asm__("smmla %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

// Copies four words, and moves both pointers behind them.
static inline void kg_move_four(int32_t **to, const int32_t **from) {
    __asm__ volatile("ldm %1!, {r0, r1, r2, r3}\n\tstm %0!, {r0, r1, r2, r3}"
                     : "+r"(*to), "+r"(*from)
                     :
                     : "r0", "r1", "r2", "r3", "memory");
}

// Four times SMMLA, shift and USAT to a byte, in an order in which none waits for the one before.
static inline void kg_scale_four(int32_t *values, int32_t multiplier, int32_t offset,
                                 int32_t shift) {
    __asm__("smmla %0, %0, %4, %5\n\t"
            "smmla %1, %1, %4, %5\n\t"
            "smmla %2, %2, %4, %5\n\t"
            "asr %0, %0, %6\n\t"
            "smmla %3, %3, %4, %5\n\t"
            "asr %1, %1, %6\n\t"
            "usat %0, #8, %0\n\t"
            "asr %2, %2, %6\n\t"
            "usat %1, #8, %1\n\t"
            "asr %3, %3, %6\n\t"
            "usat %2, #8, %2\n\t"
            "usat %3, #8, %3"
            : "+&r"(values[0]), "+&r"(values[1]), "+&r"(values[2]), "+&r"(values[3])
            : "r"(multiplier), "r"(offset), "r"(shift));
}

#undef KG_DSP_ONE
#undef KG_DSP_TWO
#undef KG_DSP_SUM

#else

static inline uint32_t kg_add_differences(uint32_t a, uint32_t b, uint32_t sum) {
    for (int32_t shift = 0; shift < 32; shift += 8) {
        uint32_t one = a >> shift & 0xffu;
        uint32_t other = b >> shift & 0xffu;
        sum += one > other ? one - other : other - one;
    }
    return sum;
}

static inline uint32_t kg_uxtb16(uint32_t a) {
    return a & 0xff00ffu;
}

static inline uint32_t kg_uxtb16_ror8(uint32_t a) {
    return a >> 8 & 0xff00ffu;
}

static inline uint32_t kg_uxtab16(uint32_t a, uint32_t b) {
    return kg_halves(kg_bottom(a) + (int32_t)(b & 0xffu), kg_top(a) + (int32_t)(b >> 16 & 0xffu));
}

static inline uint32_t kg_uxtab16_ror8(uint32_t a, uint32_t b) {
    return kg_uxtab16(a, b >> 8);
}

static inline uint32_t kg_pkhbb(uint32_t a, uint32_t b) {
    return kg_halves(kg_bottom(a), kg_bottom(b));
}

static inline uint32_t kg_pkhbt(uint32_t a, uint32_t b) {
    return kg_halves(kg_bottom(a), kg_top(b));
}

static inline uint32_t kg_pkhtt(uint32_t a, uint32_t b) {
    return kg_halves(kg_top(a), kg_top(b));
}

static inline uint32_t kg_uqsub8(uint32_t a, uint32_t b) {
    uint32_t result = 0;
    for (int32_t at = 0; at < 32; at += 8) {
        uint32_t from = a >> at & 0xffu;
        uint32_t less = b >> at & 0xffu;
        result |= (from > less ? from - less : 0) << at;
    }
    return result;
}

static inline int16_t kg_ssat_half(int32_t a) {
    return (int16_t)(a > INT16_MAX ? INT16_MAX : a < INT16_MIN ? INT16_MIN : a);
}

static inline int32_t kg_smlabt(uint32_t a, uint32_t b, int32_t sum) {
    return sum + kg_bottom(a) * kg_top(b);
}

// Two products of -32768 by itself would not fit: no operand here is that.
static inline int32_t kg_smlad(uint32_t a, uint32_t b, int32_t sum) {
    return sum + (kg_bottom(a) * kg_bottom(b) + kg_top(a) * kg_top(b));
}

static inline uint32_t kg_add_bytes(uint32_t a, uint32_t sum) {
    return sum + (a & 0xffu) + (a >> 8 & 0xffu) + (a >> 16 & 0xffu) + (a >> 24);
}

static inline uint32_t kg_umax16(uint32_t a, uint32_t b) {
    uint32_t bottom = (a & 0xffffu) > (b & 0xffffu) ? a : b;
    uint32_t top = a >> 16 > b >> 16 ? a : b;
    return (bottom & 0xffffu) | (top & 0xffff0000u);
}

static inline int32_t kg_smmla(int32_t a, int32_t b, int32_t sum) {
    return sum + (int32_t)((int64_t)a * b >> 32);
}

static inline void kg_move_four(int32_t **to, const int32_t **from) {
    int32_t words[4];
    __builtin_memcpy(words, *from, sizeof words);
    __builtin_memcpy(*to, words, sizeof words);
    *from += 4;
    *to += 4;
}

static inline void kg_scale_four(int32_t *values, int32_t multiplier, int32_t offset,
                                 int32_t shift) {
    for (int32_t j = 0; j < 4; j++) {
        int32_t value = kg_smmla(values[j], multiplier, offset) >> shift;
        values[j] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
}

#endif

#endif
