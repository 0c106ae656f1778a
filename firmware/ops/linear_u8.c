// SPDX-License-Identifier: Apache-2.0
// Fully connected layer in uint8, plain C. Sums stay inside int32 up to 16384 inputs and outputs.
#include "ops/linear.h"

#include "ops/error.h"
#include "ops/requant.h"

// sum_i (w[i] - z_w) (x[i] - z_x)
static int32_t dot(const uint8_t *x, const uint8_t *w, int32_t count, const kg_conv_quant_t *quant) {
    int32_t x_zero = quant->x_zero;
    int32_t w_zero = quant->w_zero;
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += (w[i] - w_zero) * (x[i] - x_zero);
    }
    return sum;
}

size_t kg_linear_u8_forward_scratch_bytes(const kg_conv_dims_t *dims) {
    (void)dims;
    return 0;
}

// y[o] = clamp(z_y + rq(b[o] + sum_i (w[o,i] - z_w) (x[i] - z_x)), y_min, y_max); x is (in), w is (out, in) row-major
void kg_linear_u8_forward(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w, const int32_t *b,
                          const kg_conv_quant_t *quant, uint8_t *y, void *scratch) {
    (void)scratch;
    int32_t columns = dims->in_channels;
    for (int32_t o = 0; o < dims->out_channels; o++) {
        int32_t sum = b[o] + dot(x, w + o * columns, columns, quant);
        sum = quant->y_zero + kg_requant(sum, quant->forward);
        y[o] = (uint8_t)kg_clamp(sum, quant->y_min, quant->y_max);
    }
}

// logits[o] = (b[o] + sum_i (w[o,i] - z_w) (x[i] - z_x)) * scale
void kg_linear_u8_logits(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *w, const int32_t *b,
                         const kg_conv_quant_t *quant, float scale, float *logits) {
    int32_t columns = dims->in_channels;
    for (int32_t o = 0; o < dims->out_channels; o++) {
        int32_t sum = b[o] + dot(x, w + o * columns, columns, quant);
        logits[o] = (float)sum * scale;
    }
}

size_t kg_linear_u8_weight_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    (void)dims;
    return 0;
}

// row[i] = (e[channel] - 128) (x[i] - z_x)
void kg_linear_u8_weight_gradient(const kg_conv_dims_t *dims, const uint8_t *x, const uint8_t *e,
                                  const kg_conv_quant_t *quant, int32_t channel, int32_t *row, void *scratch) {
    (void)scratch;
    int32_t error = e[channel] - KG_ERROR_ZERO;
    int32_t correction = error * quant->x_zero;
    for (int32_t i = 0; i < dims->in_channels; i++) {
        row[i] = error * x[i] - correction;
    }
}

// An error that is not zero, and where its row of weights starts.
typedef struct {
    int32_t offset;
    int32_t value;
} tap_t;

size_t kg_linear_u8_input_gradient_scratch_bytes(const kg_conv_dims_t *dims) {
    return (size_t)dims->out_channels * sizeof(tap_t);
}

static const tap_t *list_errors(const kg_conv_dims_t *dims, const uint8_t *e, tap_t *tap) {
    for (int32_t o = 0; o < dims->out_channels; o++) {
        tap->offset = o * dims->in_channels;
        tap->value = e[o] - KG_ERROR_ZERO;
        tap += tap->value != 0;
    }
    return tap;
}

// dx[i] = clamp(128 + rq(sum_o (w[o,i] - z_w) (e[o] - 128)), 0, 255), 128 where mask[i] <= z_x
int32_t kg_linear_u8_input_gradient(const kg_conv_dims_t *dims, const uint8_t *e, const uint8_t *w,
                                    const kg_conv_quant_t *quant, const uint8_t *mask, uint8_t *dx, void *scratch) {
    const tap_t *taps = scratch;
    const tap_t *end = list_errors(dims, e, scratch);
    int32_t correction = 0;
    for (const tap_t *tap = taps; tap < end; tap++) {
        correction += quant->w_zero * tap->value;
    }
    int32_t largest = 0;
    for (int32_t i = 0; i < dims->in_channels; i++) {
        if (mask != NULL && mask[i] <= quant->x_zero) {
            dx[i] = KG_ERROR_ZERO;
            continue;
        }
        int32_t sum = -correction;
        for (const tap_t *tap = taps; tap < end; tap++) {
            sum += tap->value * w[tap->offset + i];
        }
        largest = kg_largest(largest, sum);
        dx[i] = kg_error(sum, quant->backward);
    }
    return largest;
}
