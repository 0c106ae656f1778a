// SPDX-License-Identifier: Apache-2.0
// Fully connected layer in uint8 for the host twin: loops that compilers turn into vectors.
#include <string.h>

#include "ops/error.h"
#include "ops/linear.h"
#include "ops/requant.h"

size_t kg_linear_u8_forward_host_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->in_channels * sizeof(int16_t);
}

// sum_i w[i] x[i]
static int32_t dot(const int16_t *x, const uint8_t *w, int32_t count) {
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += w[i] * x[i];
    }
    return sum;
}

void kg_linear_u8_forward_host(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                               const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                               void *scratch) {
    int32_t columns = dims->in_channels;
    int16_t *x_real = scratch;
    int32_t total = 0;
    for (int32_t i = 0; i < columns; i++) {
        x_real[i] = (int16_t)(x[i] - quant->x_zero);
        total += x_real[i];
    }
    for (int32_t o = 0; o < dims->out_channels; o++) {
        int32_t sum = b[o] - quant->w_zero * total + dot(x_real, w + o * columns, columns);
        sum = quant->y_zero + kg_requant(sum, quant->forward);
        y[o] = (uint8_t)kg_clamp(sum, quant->y_min, quant->y_max);
    }
}

size_t kg_linear_u8_input_gradient_host_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->in_channels * sizeof(int32_t);
}

// sums[i] += e[0] w[0][i] + ... + e[3] w[3][i] for |e| <= 128: products fit 16 bits.
static void add_short_rows(const int32_t *e, const uint8_t *const *w, int32_t count,
                           int32_t *restrict sums) {
    const uint8_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    int16_t e0 = (int16_t)e[0], e1 = (int16_t)e[1], e2 = (int16_t)e[2], e3 = (int16_t)e[3];
    for (int32_t i = 0; i < count; i++) {
        int16_t p0 = (int16_t)(e0 * w0[i]), p1 = (int16_t)(e1 * w1[i]);
        int16_t p2 = (int16_t)(e2 * w2[i]), p3 = (int16_t)(e3 * w3[i]);
        sums[i] += p0 + p1 + p2 + p3;
    }
}

// The same for any errors.
static void add_rows(const int32_t *e, const uint8_t *const *w, int32_t count,
                     int32_t *restrict sums) {
    const uint8_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    int32_t e0 = e[0], e1 = e[1], e2 = e[2], e3 = e[3];
    for (int32_t i = 0; i < count; i++) {
        sums[i] += e0 * w0[i] + e1 * w1[i] + e2 * w2[i] + e3 * w3[i];
    }
}

// Sums all kept rows whose error is not zero, four at a time. Returns the sum of the errors. All
// errors are times their factors.
static int32_t add_all_rows(const kg_conv_dims_t *dims, const uint8_t *e, const kg_kept_t *kept,
                            const uint8_t *w, int32_t *sums) {
    int32_t errors[4] = {0};
    const uint8_t *rows[4] = {w, w, w, w};
    int32_t listed = 0;
    int32_t total = 0;
    void (*add)(const int32_t *, const uint8_t *const *, int32_t, int32_t *restrict) =
        kg_kept_fraction(kept) == 0 ? add_short_rows : add_rows;
    memset(sums, 0, (size_t)dims->in_channels * sizeof *sums);
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        if (e[row.row] == KG_ERROR_ZERO) {
            continue;
        }
        errors[listed] = (e[row.row] - KG_ERROR_ZERO) * row.factor;
        rows[listed] = w + row.row * dims->in_channels;
        total += errors[listed++];
        if (listed == 4) {
            add(errors, rows, dims->in_channels, sums);
            memset(errors, 0, sizeof errors);
            listed = 0;
        }
    }
    add(errors, rows, dims->in_channels, sums);
    return total;
}

int32_t kg_linear_u8_input_gradient_host(const kg_conv_dims_t *dims, const uint8_t *e,
                                         const kg_kept_t *kept, const uint8_t *w,
                                         const kg_conv_quant_t *quant, const uint8_t *mask,
                                         uint8_t *dx, void *scratch) {
    kg_requant_t factor = quant->backward;
    int32_t x_zero = quant->x_zero;
    int32_t *sums = scratch;
    int32_t base = kg_kept_half(kept) - quant->w_zero * add_all_rows(dims, e, kept, w, sums);
    int32_t fraction = kg_kept_fraction(kept);
    int32_t largest = 0;
    for (int32_t i = 0; i < dims->in_channels; i++) {
        int32_t sum = mask == NULL || mask[i] > x_zero ? (sums[i] + base) >> fraction : 0;
        largest = kg_largest(largest, sum);
        dx[i] = kg_error(sum, factor);
    }
    return largest;
}
