// SPDX-License-Identifier: Apache-2.0
// Nearest-neighbour up-sampling in uint8.
#include "ops/upsample.h"

#include "ops/error.h"

// y[i,r,c] = x[i, r / scale_height, c / scale_width]
void kg_upsample_u8_forward(const kg_upsample_dims_t *dims, const uint8_t *x, uint8_t *y) {
    for (int32_t row = 0; row < dims->channels * dims->in_height; row++, x += dims->in_width) {
        for (int32_t u = 0; u < dims->scale_height; u++) {
            for (int32_t k = 0; k < dims->in_width; k++) {
                for (int32_t v = 0; v < dims->scale_width; v++) {
                    *y++ = x[k];
                }
            }
        }
    }
}

// Sum of the errors of one block; width is that of the large map.
static int32_t sum_block(const kg_upsample_dims_t *dims, const uint8_t *e, int32_t width) {
    int32_t sum = -KG_ERROR_ZERO * dims->scale_height * dims->scale_width;
    for (int32_t u = 0; u < dims->scale_height; u++, e += width) {
        for (int32_t v = 0; v < dims->scale_width; v++) {
            sum += e[v];
        }
    }
    return sum;
}

// dx[i,h,k] = clamp(128 + rq(sum_{u,v} (e[i, h*S+u, k*S+v] - 128)), 0, 255)
int32_t kg_upsample_u8_backward(const kg_upsample_dims_t *dims, const uint8_t *e,
                                const kg_requant_t *factor, uint8_t *dx) {
    int32_t width = dims->in_width * dims->scale_width;
    int32_t largest = 0;
    for (int32_t row = 0; row < dims->channels * dims->in_height; row++) {
        for (int32_t k = 0; k < dims->in_width; k++) {
            int32_t sum = sum_block(dims, e + k * dims->scale_width, width);
            largest = kg_largest(largest, sum);
            *dx++ = kg_error(sum, *factor);
        }
        e += dims->scale_height * width;
    }
    return largest;
}
