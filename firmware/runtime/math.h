// SPDX-License-Identifier: Apache-2.0
// Exact maths: float functions that return the same bits on every core, built from +, -, *, / only.
#ifndef KG_RUNTIME_MATH_H
#define KG_RUNTIME_MATH_H

#include "kilograd/types.h"

// e^x, within 2 ulp; x is clamped to [-87, 88].
float kg_expf(float x);

// Natural logarithm of a positive normal x, within 2 ulp.
float kg_logf(float x);

// cos(pi t) for t in [0, 1], absolute error below 2e-7.
float kg_cos_pi(float t);

// Square root, correctly rounded; 0 for anything that is not positive.
float kg_sqrtf(float x);

// Nearest integer, halves away from zero, saturated to 32 bits; 0 for NaN.
int32_t kg_round(float x);

// 2^exponent for exponent in [-126, 127].
float kg_exp2i(int32_t exponent);

// Smallest k with 2^k >= x, for a positive normal x.
int32_t kg_ceil_log2(float x);

// A positive factor in fixed point, exact (24 bits of mantissa); see kg_requant_t for the limits.
kg_requant_t kg_requant_make(float factor);

static inline float kg_minf(float a, float b) {
    return a < b ? a : b;
}

static inline float kg_maxf(float a, float b) {
    return a > b ? a : b;
}

#endif
