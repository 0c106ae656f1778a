// SPDX-License-Identifier: Apache-2.0
// Step functions of float32 layers.
#include "runtime/steps_f32.h"

#include "ops/add.h"
#include "ops/join.h"
#include "ops/relu.h"

void kg_step_forward_f32(const void *args, kg_training_t *training) {
    const kg_forward_f32_t *a = args;
    (void)training;
    a->kernel(a->dims, a->x, a->w, a->b, a->y_min, a->y_max, a->y, a->scratch);
}

// Sum of the row's errors; any: whether one of them is not zero.
static float error_sum(const float *e, int32_t count, int *any) {
    float sum = 0.0f;
    *any = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += e[i];
        *any |= e[i] != 0.0f;
    }
    return sum;
}

static void multiply_row(float *row, int32_t count, float scale) {
    for (int32_t k = 0; k < count && scale != 1.0f; k++) {
        row[k] *= scale;
    }
}

void kg_step_row_gradient_f32(const void *args, kg_training_t *training) {
    const kg_row_gradient_f32_t *a = args;
    const kg_parameter_f32_t *p = a->parameter;
    int32_t positions = a->dims->out_height * a->dims->out_width;
    (void)training;
    if (a->prepare != NULL) {
        a->prepare(a->dims, a->x, a->scratch);
    }
    for (int32_t j = 0; j < kg_kept_count(a->kept, p->matrix.rows); j++) {
        kg_kept_row_t kept = kg_kept_at(a->kept, j);
        float scale = kg_kept_scale(a->kept, kept);
        int any;
        p->gb[kept.row] += error_sum(a->e + kept.row * positions, positions, &any) * scale;
        if (any) {
            a->kernel(a->dims, a->x, a->e, kept.row, a->row, a->scratch);
            multiply_row(a->row, p->matrix.columns, scale);
            a->add(p, kept.row, a->row);
            kg_mark_row(p->marks, kept.row);
        }
    }
}

void kg_step_outer_gradient_f32(const void *args, kg_training_t *training) {
    const kg_outer_gradient_f32_t *a = args;
    const kg_parameter_f32_t *p = a->parameter;
    (void)training;
    for (int32_t j = 0; j < kg_kept_count(a->kept, p->matrix.rows); j++) {
        kg_kept_row_t kept = kg_kept_at(a->kept, j);
        float error = a->e[kept.row] * kg_kept_scale(a->kept, kept);
        if (error != 0.0f) {
            p->gb[kept.row] += error;
            a->add(p, kept.row, a->x, error);
            kg_mark_row(p->marks, kept.row);
        }
    }
}

void kg_step_bias_gradient_f32(const void *args, kg_training_t *training) {
    const kg_bias_gradient_f32_t *a = args;
    const kg_parameter_f32_t *p = a->parameter;
    (void)training;
    for (int32_t j = 0; j < kg_kept_count(a->kept, p->matrix.rows); j++) {
        kg_kept_row_t kept = kg_kept_at(a->kept, j);
        int any;
        float sum = error_sum(a->e + kept.row * a->positions, a->positions, &any);
        p->gb[kept.row] += sum * kg_kept_scale(a->kept, kept);
    }
}

void kg_step_input_gradient_f32(const void *args, kg_training_t *training) {
    const kg_input_gradient_f32_t *a = args;
    (void)training;
    a->kernel(a->dims, a->e, a->kept, a->w, a->mask, a->dx, a->scratch);
}

void kg_step_max_pool_f32(const void *args, kg_training_t *training) {
    const kg_max_pool_f32_t *a = args;
    (void)training;
    kg_max_pool_f32_forward(a->dims, a->x, a->y, a->argmax);
}

void kg_step_max_pool_backward_f32(const void *args, kg_training_t *training) {
    const kg_max_pool_backward_f32_t *a = args;
    (void)training;
    kg_max_pool_f32_backward(a->dims, a->e, a->argmax, a->dx);
}

void kg_step_average_pool_f32(const void *args, kg_training_t *training) {
    const kg_average_pool_f32_t *a = args;
    (void)training;
    kg_average_pool_f32_forward(a->dims, a->x, a->factor, a->y);
}

void kg_step_average_pool_backward_f32(const void *args, kg_training_t *training) {
    const kg_average_pool_backward_f32_t *a = args;
    (void)training;
    kg_average_pool_f32_backward(a->dims, a->e, a->factor, a->mask, a->dx);
}

void kg_step_upsample_f32(const void *args, kg_training_t *training) {
    const kg_upsample_f32_t *a = args;
    (void)training;
    kg_upsample_f32_forward(a->dims, a->x, a->y);
}

void kg_step_upsample_backward_f32(const void *args, kg_training_t *training) {
    const kg_upsample_backward_f32_t *a = args;
    (void)training;
    kg_upsample_f32_backward(a->dims, a->e, a->dx);
}

void kg_step_add_f32(const void *args, kg_training_t *training) {
    const kg_add_f32_t *a = args;
    (void)training;
    kg_add_f32_forward(a->count, a->a, a->b, a->y_min, a->y_max, a->y);
}

void kg_step_join_f32(const void *args, kg_training_t *training) {
    const kg_join_f32_t *a = args;
    (void)training;
    kg_join_f32(a->count, a->a, a->b, a->mask, a->dx);
}

void kg_step_relu_f32(const void *args, kg_training_t *training) {
    const kg_relu_f32_t *a = args;
    (void)training;
    kg_relu_f32_forward(a->count, a->x, a->y_min, a->y_max, a->y);
}

void kg_step_relu_mask_f32(const void *args, kg_training_t *training) {
    const kg_relu_mask_f32_t *a = args;
    (void)training;
    kg_relu_f32_mask(a->count, a->y_max, a->y);
}
