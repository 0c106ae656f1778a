// SPDX-License-Identifier: Apache-2.0
// Nearest-neighbour up-sampling in float32.
#include "ops/upsample.h"

// y[i,r,c] = x[i, r / scale_height, c / scale_width]
void kg_upsample_f32_forward(const kg_upsample_dims_t *dims, const float *x, float *y) {
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

// dx[i,h,k] = sum_{u,v} e[i, h*S+u, k*S+v]
void kg_upsample_f32_backward(const kg_upsample_dims_t *dims, const float *e, float *dx) {
    int32_t width = dims->in_width * dims->scale_width;
    for (int32_t row = 0; row < dims->channels * dims->in_height; row++) {
        for (int32_t k = 0; k < dims->in_width; k++) {
            float sum = 0.0f;
            for (int32_t u = 0; u < dims->scale_height; u++) {
                for (int32_t v = 0; v < dims->scale_width; v++) {
                    sum += e[u * width + k * dims->scale_width + v];
                }
            }
            *dx++ = sum;
        }
        e += dims->scale_height * width;
    }
}
