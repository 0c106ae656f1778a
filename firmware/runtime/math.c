// SPDX-License-Identifier: Apache-2.0
// Exact maths. Polynomials are evaluated in a fixed order; with -ffp-contract=off every core rounds
// alike.
#include "runtime/math.h"

#include <string.h>

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float kg_exp2i(int32_t exponent) {
    return float_of((uint32_t)(exponent + 127) << 23);
}

int32_t kg_round(float x) {
    if (x >= 2147483648.0f) {
        return INT32_MAX;
    }
    if (x <= -2147483648.0f) {
        return INT32_MIN;
    }
    if (x != x) {
        return 0;
    }
    int32_t whole = (int32_t)x;  // towards zero
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

// x = n ln 2 + r, |r| <= ln(2) / 2; e^r by its Taylor series to r^7, whose remainder is below
// 2^-26.
float kg_expf(float x) {
    x = kg_minf(kg_maxf(x, -87.0f), 88.0f);
    int32_t n = kg_round(x * 0x1.715476p+0f);
    float r = x - (float)n *
                      0x1.62e400p-1f;  // ln 2 in two parts: the product with the high part is exact
    r = r - (float)n * 0x1.7f7d1cp-20f;
    float p = 0x1.a01a02p-13f;
    p = p * r + 0x1.6c16c2p-10f;
    p = p * r + 0x1.111112p-7f;
    p = p * r + 0x1.555556p-5f;
    p = p * r + 0x1.555556p-3f;
    p = p * r + 0.5f;
    return (p * r * r + r + 1.0f) * kg_exp2i(n);
}

// x = 2^n m, m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), by its series to
// s^9.
float kg_logf(float x) {
    uint32_t bits = bits_of(x);
    int32_t n = (int32_t)((bits - 0x3f3504f3u) >> 23);
    n -= n >= 256 ? 512 : 0;
    float m = float_of(bits - ((uint32_t)n << 23));
    float s = (m - 1.0f) / (m + 1.0f);
    float z = s * s;
    float p = 0x1.c71c72p-4f;
    p = p * z + 0x1.24924ap-3f;
    p = p * z + 0x1.99999ap-3f;
    p = p * z + 0x1.555556p-2f;
    float low = (float)n * 0x1.7f7d1cp-20f + 2.0f * s * (p * z);
    return (float)n * 0x1.62e400p-1f + (2.0f * s + low);
}

// cos(pi t) = -sin(pi (t - 1/2)), the sine by its Taylor series to the 11th power on [-pi/2, pi/2].
float kg_cos_pi(float t) {
    float a = (t - 0.5f) * 0x1.921fb6p+1f;
    float z = a * a;
    float p = -0x1.ae6456p-26f;
    p = p * z + 0x1.71de3ap-19f;
    p = p * z - 0x1.a01a02p-13f;
    p = p * z + 0x1.111112p-7f;
    p = p * z - 0x1.555556p-3f;
    return -(p * z * a + a);
}

// Integer root of x, bit by bit; x < 2^52.
static uint32_t root_of(uint64_t x, int *inexact) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 50; bit != 0; bit >>= 2) {
        if (x >= root + bit) {
            x -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    *inexact = x != 0;
    return (uint32_t)root;
}

// x = m 2^e with e even: the root of m 2^26 has at least one bit more than a float, and a sticky
// bit below stands for the rest.
float kg_sqrtf(float x) {
    if (!(x > 0.0f)) {
        return 0.0f;
    }
    if (x > 0x1.fffffep+127f) {
        return x;
    }
    float scale = 1.0f;
    if (x < 0x1p-126f) {
        x *= 0x1p+48f;
        scale = 0x1p-24f;
    }
    uint32_t bits = bits_of(x);
    int32_t exponent = (int32_t)(bits >> 23) - 150;
    uint64_t mantissa = (bits & 0x7fffffu) | 0x800000u;
    if (exponent & 1) {
        mantissa <<= 1;
        exponent -= 1;
    }
    int inexact;
    uint32_t root = root_of(mantissa << 26, &inexact);
    return (float)(root << 1 | (uint32_t)inexact) * kg_exp2i(exponent / 2 - 14) * scale;
}

int32_t kg_ceil_log2(float x) {
    uint32_t bits = bits_of(x);
    return (int32_t)(bits >> 23) - 127 + ((bits & 0x7fffffu) != 0);
}

kg_requant_t kg_requant_make(float factor) {
    uint32_t bits = bits_of(factor);
    int32_t shift = 157 - (int32_t)(bits >> 23);
    kg_requant_t requant = {(int32_t)(((bits & 0x7fffffu) | 0x800000u) << 7), shift};
    if (!(factor >= 0x1p-126f) || shift > 62) {
        requant = (kg_requant_t){0, 1};
    } else if (shift < 1) {
        requant = (kg_requant_t){INT32_MAX, 1};
    }
    return requant;
}
