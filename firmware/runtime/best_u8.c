// SPDX-License-Identifier: Apache-2.0
// Recipe "best" for uint8 layers with gradient buffers of 16 bits: sums are rounded stochastically.
#include <stdint.h>

typedef int16_t gradient_t;
typedef int32_t wide_t;
typedef int32_t sum_t;

#define GRADIENT_LIMIT INT16_MAX
#define GRADIENT_LEAST INT16_MIN
#define LARGEST_SHIFT 24
#define LARGEST_LEFT 15
#define NAME(verb) kg_best_u8_##verb
#define STEP(verb) kg_step_best_u8_##verb

#include "runtime/best_u8_template.h"
