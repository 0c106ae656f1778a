// SPDX-License-Identifier: Apache-2.0
// Fully connected layer in float32 for the host twin: the bits of linear_f32.c, by vector
// arithmetic.
#include "ops/clamp.h"
#include "ops/linear.h"
#include "ops/matmul_host.h"

#define ROWS 16

// sums[m] = sum_i w[m][i] x[i]: each sum waits for itself only, so that many of them run at once.
static void dot_rows(const float *x, const float *w, int32_t columns, float sums[ROWS]) {
    float s[ROWS] = {0};
    for (int32_t i = 0; i < columns; i++) {
        for (int32_t m = 0; m < ROWS; m++) {
            s[m] += w[m * columns + i] * x[i];
        }
    }
    for (int32_t m = 0; m < ROWS; m++) {
        sums[m] = s[m];
    }
}

void kg_linear_f32_forward_host(const kg_conv_dims_t *dims, const float *x, const float *w,
                                const float *b, float y_min, float y_max, float *y, void *scratch) {
    int32_t columns = dims->in_channels;
    int32_t o = 0;
    for (; o + ROWS <= dims->out_channels; o += ROWS) {
        float sums[ROWS];
        dot_rows(x, w + o * columns, columns, sums);
        for (int32_t m = 0; m < ROWS; m++) {
            y[o + m] = kg_clampf(sums[m] + b[o + m], y_min, y_max);
        }
    }
    kg_conv_dims_t rest = *dims;
    rest.out_channels -= o;
    kg_linear_f32_forward(&rest, x, w + o * columns, b + o, y_min, y_max, y + o, scratch);
}

size_t kg_linear_f32_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_channels * sizeof(kg_factor_t);
}

static int32_t list_errors(const kg_conv_dims_t *dims, const float *e, const kg_kept_t *kept,
                           kg_factor_t *factors) {
    int32_t count = 0;
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        if (e[row.row] != 0.0f) {
            float value = e[row.row] * kg_kept_scale(kept, row);
            factors[count++] = (kg_factor_t){row.row * dims->in_channels, value};
        }
    }
    return count;
}

static void store(const float *sums, const float *mask, int32_t count, float *dx) {
    for (int32_t i = 0; i < count; i++) {
        dx[i] = mask != NULL && mask[i] <= 0.0f ? 0.0f : sums[i];
    }
}

void kg_linear_f32_input_gradient_host(const kg_conv_dims_t *dims, const float *e,
                                       const kg_kept_t *kept, const float *w, const float *mask,
                                       float *dx, void *scratch) {
    kg_factor_t *factors = scratch;
    int32_t count = list_errors(dims, e, kept, factors);
    for (int32_t i = 0, step; i < dims->in_channels; i += step) {
        float sums[6 * KG_VECTOR_LANES] = {0};
        const float *bases[6];
        for (int32_t j = 0; j < 6; j++) {
            bases[j] = w + i + j * KG_VECTOR_LANES;
        }
        if (dims->in_channels - i >= 48) {
            kg_combine(factors, count, bases, 6, sums);
            step = 48;
        } else if (dims->in_channels - i >= 8) {
            kg_combine(factors, count, bases, 1, sums);
            step = 8;
        } else {
            for (int32_t k = 0; k < count; k++) {
                sums[0] += factors[k].value * w[factors[k].offset + i];
            }
            step = 1;
        }
        store(sums, mask == NULL ? NULL : mask + i, step, dx + i);
    }
}
