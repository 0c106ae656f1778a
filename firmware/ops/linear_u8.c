// SPDX-License-Identifier: Apache-2.0
// Fully connected layer in uint8, plain C. Sums stay inside int32 up to 16384 inputs and outputs.
#include "ops/linear.h"

#include "ops/error.h"
#include "ops/requant.h"
#include "ops/taps_u8.h"

// sum_i w[i] (x[i] - z_x), four inputs at a time.
static int32_t dot(const uint8_t *x, const uint8_t *w, int32_t count, int32_t x_zero) {
    const uint8_t *end = x + count;
    int32_t sum = 0;
    for (; ((end - x) & 3) != 0; x++, w++) {
        sum += w[0] * (x[0] - x_zero);
    }
    for (; x < end; x += 4, w += 4) {
        sum += w[0] * (x[0] - x_zero);
        sum += w[1] * (x[1] - x_zero);
        sum += w[2] * (x[2] - x_zero);
        sum += w[3] * (x[3] - x_zero);
    }
    return sum;
}

// z_w sum_i (x[i] - z_x): what dot() leaves in every sum.
static int32_t correction(const uint8_t *x, int32_t count, const kg_conv_quant_t *quant) {
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += x[i];
    }
    return quant->w_zero * (sum - count * quant->x_zero);
}

// y[o] = clamp(z_y + rq(b[o] + sum_i (w[o,i] - z_w) (x[i] - z_x)), y_min, y_max); x is (in), w is
// (out, in) row-major
void kg_linear_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                          const int32_t *b, const kg_conv_quant_t *quant, uint8_t *y,
                          void *scratch) {
    (void)scratch;
    int32_t columns = dims->in_channels;
    int32_t excess = correction(x, columns, quant);
    for (int32_t o = 0; o < dims->out_channels; o++) {
        int32_t sum = b[o] - excess + dot(x, w + o * columns, columns, quant->x_zero);
        sum = quant->y_zero + kg_requant(sum, quant->forward);
        y[o] = (uint8_t)kg_clamp(sum, quant->y_min, quant->y_max);
    }
}

// logits[o] = (b[o] + sum_i (w[o,i] - z_w) (x[i] - z_x)) * scale
void kg_linear_u8_logits(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w,
                         const int32_t *b, const kg_conv_quant_t *quant, float scale,
                         float *logits) {
    int32_t columns = dims->in_channels;
    int32_t excess = correction(x, columns, quant);
    for (int32_t o = 0; o < dims->out_channels; o++) {
        int32_t sum = b[o] - excess + dot(x, w + o * columns, columns, quant->x_zero);
        logits[o] = (float)sum * scale;
    }
}

// row[i] = (e[channel] - 128) (x[i] - z_x)
void kg_linear_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e,
                                  const kg_conv_quant_t *quant, int32_t channel, int32_t *row,
                                  void *scratch) {
    (void)scratch;
    int32_t error = e[channel] - KG_ERROR_ZERO;
    int32_t excess = error * quant->x_zero;
    int32_t columns = dims->in_channels;
    for (int32_t i = 0; i < columns; i++) {
        row[i] = error * x[i] - excess;
    }
}

// The kept errors that are not zero, times their factor, each with the start of its row of weights,
// and their sum.
typedef struct {
    kg_tap_list_t list;
    int32_t total;
} errors_t;

size_t kg_linear_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_channels * sizeof(kg_tap_t);
}

static errors_t list_errors(const kg_conv_dims_t *dims, const uint8_t *e, const kg_kept_t *kept,
                            kg_tap_t *taps) {
    kg_tap_t *end = taps;
    int32_t total = 0;
    for (int32_t j = 0; j < kg_kept_count(kept, dims->out_channels); j++) {
        kg_kept_row_t row = kg_kept_at(kept, j);
        int32_t value = (e[row.row] - KG_ERROR_ZERO) * row.factor;
        if (value != 0) {
            end->offset = row.row * dims->in_channels;
            end->value = value;
            end++;
            total += value;
        }
    }
    return (errors_t){{taps, end}, total};
}

// dx[i] = clamp(128 + rq(sum_o (w[o,i] - z_w) (e[o] - 128) f[o]), 0, 255), 128 where mask[i] <= z_x
int32_t kg_linear_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e,
                                    const kg_kept_t *kept, const uint8_t *w,
                                    const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx,
                                    void *scratch) {
    errors_t errors = list_errors(dims, e, kept, scratch);
    int32_t base = kg_kept_half(kept) - quant->w_zero * errors.total;
    int32_t fraction = kg_kept_fraction(kept);
    int32_t largest = 0;
    for (int32_t i = 0; i < dims->in_channels; i++) {
        if (mask != NULL && mask[i] <= quant->x_zero) {
            dx[i] = KG_ERROR_ZERO;
            continue;
        }
        int32_t sum = (kg_taps_dot_u8(errors.list, w + i) + base) >> fraction;
        largest = kg_largest(largest, sum);
        dx[i] = kg_error(sum, quant->backward);
    }
    return largest;
}
