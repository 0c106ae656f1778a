// SPDX-License-Identifier: Apache-2.0
// Fully connected layer in float32, plain C.
#include "ops/linear.h"

#include <string.h>

#include "ops/clamp.h"

// y[o] = clamp(sum_i w[o,i] x[i] + b[o], y_min, y_max); x is (in), w is (out, in) row-major
void kg_linear_f32_forward(const kg_conv_dims_t *dims, const float *x, const float *w,
                           const float *b, float y_min, float y_max, float *y, void *scratch) {
    (void)scratch;
    int32_t columns = dims->in_channels;
    for (int32_t o = 0; o < dims->out_channels; o++, w += columns) {
        float sum = 0.0f;
        for (int32_t i = 0; i < columns; i++) {
            sum += w[i] * x[i];
        }
        y[o] = kg_clampf(sum + b[o], y_min, y_max);
    }
}

// row[i] = 0 + e[channel] x[i]
void kg_linear_f32_weight_gradient(const kg_conv_dims_t *dims, const float *x, const float *e,
                                   int32_t channel, float *row, void *scratch) {
    (void)scratch;
    int32_t columns = dims->in_channels;
    float error = e[channel];
    if (error == 0.0f) {
        memset(row, 0, (size_t)columns * sizeof *row);
        return;
    }
    for (int32_t i = 0; i < columns; i++) {
        row[i] = 0.0f + error * x[i];
    }
}

// A kept error that is not zero, times its factor, and where its row of weights starts.
typedef struct {
    int32_t offset;
    float value;
} tap_t;

size_t kg_linear_f32_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_channels * sizeof(tap_t);
}

static const tap_t *list_errors(const kg_conv_dims_t *dims, const float *e, const kg_kept_t *kept,
                                tap_t *end) {
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        if (e[row.row] != 0.0f) {
            end->offset = row.row * dims->in_channels;
            end->value = kept == NULL ? e[row.row] : e[row.row] * kg_kept_scale(kept, row);
            end++;
        }
    }
    return end;
}

// dx[i] = sum_o w[o,i] (e[o] f[o]), 0 where mask[i] <= 0
void kg_linear_f32_input_gradient(const kg_conv_dims_t *dims, const float *e, const kg_kept_t *kept,
                                  const float *w, const float *mask, float *dx, void *scratch) {
    const tap_t *end = list_errors(dims, e, kept, scratch);
    for (int32_t i = 0; i < dims->in_channels; i++) {
        float sum = 0.0f;
        if (mask == NULL || !(mask[i] <= 0.0f)) {
            for (const tap_t *tap = scratch; tap < end; tap++) {
                sum += tap->value * w[tap->offset + i];
            }
        }
        dx[i] = sum;
    }
}
