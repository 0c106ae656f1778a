// SPDX-License-Identifier: Apache-2.0
// The inner loop of float32 kernels for cores with an FPU: sixteen sums at once, in its registers.
#ifndef KG_OPS_TILE_F32_H
#define KG_OPS_TILE_F32_H

#include <stdint.h>

#define KG_TILE 4    // rows and columns
#define KG_SPREAD 6  // floats that three taps see at four neighbours

#if defined(__ARM_FP) && defined(__thumb2__)

// Four products with one element of `a`, and their sums; a product is used when four more have been
// started, so nothing waits. VMLA would take as long as both.
#define KG_TILE_ROW(a, s0, s1, s2, s3)                                                             \
    "vmul.f32 s28, " a ", s24\n vmul.f32 s29, " a ", s25\n"                                        \
    "vmul.f32 s30, " a ", s26\n vmul.f32 s31, " a ", s27\n"                                        \
    "vadd.f32 " s0 ", " s0 ", s28\n vadd.f32 " s1 ", " s1 ", s29\n"                                \
    "vadd.f32 " s2 ", " s2 ", s30\n vadd.f32 " s3 ", " s3 ", s31\n"
#define KG_TILE_COLUMN(a0, a1, a2, a3)                                                             \
    "vldmia %[b]!, {s24-s27}\n" KG_TILE_ROW(a0, "s0", "s1", "s2", "s3")                            \
        KG_TILE_ROW(a1, "s4", "s5", "s6", "s7") KG_TILE_ROW(a2, "s8", "s9", "s10", "s11")          \
            KG_TILE_ROW(a3, "s12", "s13", "s14", "s15")

// sums[i][j] = start[i][j] + sum_k a[i][k] b[k][j], one k after the other; a[i] = a + i * pitch, b
// is (count, 4). start may be sums.
static inline void kg_tile_f32(int32_t count, const float *a, int32_t pitch, const float *b,
                               const float *start, float *sums) {
    const float *a1 = a + pitch;
    const float *a2 = a1 + pitch;
    const float *a3 = a2 + pitch;
    __asm__ volatile(
        "vldmia %[start], {s0-s15}\n"
        "subs %[count], %[count], #2\n"
        "blt 2f\n"
        "1:\n"
        "vldmia %[a0]!, {s16-s17}\n"
        "vldmia %[a1]!, {s18-s19}\n"
        "vldmia %[a2]!, {s20-s21}\n"
        "vldmia %[a3]!, {s22-s23}\n" KG_TILE_COLUMN("s16", "s18", "s20", "s22") KG_TILE_COLUMN(
            "s17", "s19", "s21", "s23") "subs %[count], %[count], #2\n"
                                        "bge 1b\n"
                                        "2:\n"
                                        "adds %[count], %[count], #1\n"
                                        "bne 3f\n"
                                        "vldr s16, [%[a0]]\n"
                                        "vldr s18, [%[a1]]\n"
                                        "vldr s20, [%[a2]]\n"
                                        "vldr s22, [%[a3]]\n" KG_TILE_COLUMN(
                                            "s16", "s18", "s20", "s22") "3:\n"
                                                                        "vstmia %[sums], {s0-s15}\n"
        : [count] "+&r"(count), [a0] "+&r"(a), [a1] "+&r"(a1), [a2] "+&r"(a2), [a3] "+&r"(a3),
          [b] "+&r"(b)
        : [start] "r"(start), [sums] "r"(sums)
        : "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13",
          "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26",
          "s27", "s28", "s29", "s30", "s31", "cc", "memory");
}

// Writes f[0..3], f[1..4], f[2..5], in this order, or the other way round; f lies at any word.
static inline void kg_spread_up_f32(const float *f, float *to) {
    __asm__ volatile("vldmia %[f], {s0-s5}\n"
                     "vstmia %[to]!, {s0-s3}\n"
                     "vstmia %[to]!, {s1-s4}\n"
                     "vstmia %[to], {s2-s5}\n"
                     : [to] "+r"(to)
                     : [f] "r"(f)
                     : "s0", "s1", "s2", "s3", "s4", "s5", "memory");
}

static inline void kg_spread_down_f32(const float *f, float *to) {
    __asm__ volatile("vldmia %[f], {s0-s5}\n"
                     "vstmia %[to]!, {s2-s5}\n"
                     "vstmia %[to]!, {s1-s4}\n"
                     "vstmia %[to], {s0-s3}\n"
                     : [to] "+r"(to)
                     : [f] "r"(f)
                     : "s0", "s1", "s2", "s3", "s4", "s5", "memory");
}

#else

static inline void kg_spread_up_f32(const float *f, float *to) {
    for (int32_t at = 0; at < 3 * KG_TILE; at++) {
        to[at] = f[at / KG_TILE + at % KG_TILE];
    }
}

static inline void kg_spread_down_f32(const float *f, float *to) {
    for (int32_t at = 0; at < 3 * KG_TILE; at++) {
        to[at] = f[2 - at / KG_TILE + at % KG_TILE];
    }
}

static inline void kg_tile_f32(int32_t count, const float *a, int32_t pitch, const float *b,
                               const float *start, float *sums) {
    for (int32_t at = 0; at < KG_TILE * KG_TILE; at++) {
        sums[at] = start[at];
    }
    for (int32_t at = 0; at < KG_TILE * KG_TILE; at++) {
        sums[at] = start[at];
    }
    for (int32_t k = 0; k < count; k++, b += KG_TILE) {
        for (int32_t i = 0; i < KG_TILE; i++) {
            for (int32_t j = 0; j < KG_TILE; j++) {
                sums[i * KG_TILE + j] += a[i * pitch + k] * b[j];
            }
        }
    }
}

#endif

#endif
