// SPDX-License-Identifier: Apache-2.0
// Recipe "best" for uint8 layers with gradient buffers of 32 bits: sums are exact.
#include <stdint.h>

typedef int32_t gradient_t;
typedef int64_t wide_t;
typedef int64_t sum_t;

#define GRADIENT_LIMIT (INT32_MAX / 2)
#define GRADIENT_LEAST (-GRADIENT_LIMIT)
#define LARGEST_SHIFT 0
#define LARGEST_LEFT 30
#define NAME(verb) kg_best_g32_u8_##verb
#define STEP(verb) kg_step_best_g32_u8_##verb

#include "runtime/best_u8_template.h"
