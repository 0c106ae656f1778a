// SPDX-License-Identifier: Apache-2.0
// Step functions of uint8 layers.
#include "runtime/steps_u8.h"

#include "ops/error.h"
#include "ops/linear.h"
#include "ops/relu.h"
#include "ops/requant.h"
#include "runtime/dither.h"
#include "runtime/math.h"

void kg_step_forward_u8(const void *args, kg_training_t *training) {
    const kg_forward_u8_t *a = args;
    (void)training;
    a->kernel(a->dims, a->x, a->w, a->b, a->quant, a->y, a->scratch);
}

void kg_step_logits_u8(const void *args, kg_training_t *training) {
    const kg_logits_u8_t *a = args;
    (void)training;
    kg_linear_u8_logits(a->dims, a->x, a->w, a->b, a->quant, *a->w_scale * a->x_scale, a->logits);
}

// Sum of the row's errors; any: whether one of them is not zero.
static int32_t error_sum(const uint8_t *e, int32_t count, int *any) {
    int32_t sum = 0;
    int32_t seen = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t error = e[i] - KG_ERROR_ZERO;
        sum += error;
        seen |= error;
    }
    *any = seen != 0;
    return sum;
}

// gb += floor(sum / 2^fraction + u), u the dither: the numbers after those of the weights.
static void add_bias(const kg_parameter_u8_t *p, const kg_training_t *training, int32_t row,
                     int32_t sum, int32_t fraction) {
    if (fraction != 0) {
        uint32_t start = kg_dither_start(training->seed, p->matrix.stream, training->samples);
        uint32_t u = kg_dither_at(start, (uint32_t)(p->matrix.rows * p->matrix.columns + row));
        sum = (sum + kg_dither_bits(u, fraction)) >> fraction;
    }
    p->gb[row] += sum;
}

static void multiply_row(int32_t *row, int32_t count, int32_t factor) {
    for (int32_t k = 0; k < count && factor != 1; k++) {
        row[k] *= factor;
    }
}

void kg_step_row_gradient_u8(const void *args, kg_training_t *training) {
    const kg_row_gradient_u8_t *a = args;
    const kg_parameter_u8_t *p = a->parameter;
    int32_t positions = a->dims->out_height * a->dims->out_width;
    int32_t fraction = kg_kept_fraction(a->kept);
    int32_t rows = kg_kept_count(a->kept, p->matrix.rows);
    if (a->prepare != NULL) {
        a->prepare(a->dims, a->x, p->quant, rows, a->scratch);
    }
    for (int32_t j = 0; j < rows; j++) {
        kg_kept_row_t kept = kg_kept_at(a->kept, j);
        int any;
        int32_t sum = error_sum(a->e + kept.row * positions, positions, &any);
        add_bias(p, training, kept.row, sum * kept.factor, fraction);
        if (any) {
            a->kernel(a->dims, a->x, a->e, p->quant, kept.row, a->row, a->scratch);
            multiply_row(a->row, p->matrix.columns, kept.factor);
            a->add(p, training, kept.row, a->row, fraction);
            kg_mark_row(p->marks, kept.row);
        }
    }
}

void kg_step_outer_gradient_u8(const void *args, kg_training_t *training) {
    const kg_outer_gradient_u8_t *a = args;
    const kg_parameter_u8_t *p = a->parameter;
    int32_t fraction = kg_kept_fraction(a->kept);
    for (int32_t j = 0; j < kg_kept_count(a->kept, p->matrix.rows); j++) {
        kg_kept_row_t kept = kg_kept_at(a->kept, j);
        int32_t error = (a->e[kept.row] - KG_ERROR_ZERO) * kept.factor;
        if (error != 0) {
            add_bias(p, training, kept.row, error, fraction);
            a->add(p, training, kept.row, a->x, error, fraction);
            kg_mark_row(p->marks, kept.row);
        }
    }
}

void kg_step_bias_gradient_u8(const void *args, kg_training_t *training) {
    const kg_bias_gradient_u8_t *a = args;
    const kg_parameter_u8_t *p = a->parameter;
    for (int32_t j = 0; j < kg_kept_count(a->kept, p->matrix.rows); j++) {
        kg_kept_row_t kept = kg_kept_at(a->kept, j);
        int any;
        int32_t sum = error_sum(a->e + kept.row * a->positions, a->positions, &any);
        add_bias(p, training, kept.row, sum * kept.factor, kg_kept_fraction(a->kept));
    }
}

void kg_step_input_gradient_u8(const void *args, kg_training_t *training) {
    const kg_input_gradient_u8_t *a = args;
    (void)training;
    int32_t peak = a->kernel(a->dims, a->e, a->kept, a->w, a->quant, a->mask, a->dx, a->scratch);
    kg_error_scale_see(a->dx_scale, (float)peak * (*a->w_scale * kg_error_step(a->e_scale)));
}

kg_requant_t kg_limited_factor(float factor) {
    return kg_requant_make(kg_minf(factor, 8.0f));
}

void kg_step_refresh_u8(const void *args, kg_training_t *training) {
    const kg_refresh_u8_t *a = args;
    (void)training;
    a->quant->forward = kg_limited_factor(*a->w_scale * a->x_scale / a->y_scale);
    if (a->dx_scale != NULL) {
        a->quant->backward =
            kg_limited_factor(*a->w_scale * kg_error_step(a->e_scale) / a->dx_scale->scale);
    }
}

void kg_step_max_pool_u8(const void *args, kg_training_t *training) {
    const kg_max_pool_u8_t *a = args;
    (void)training;
    kg_max_pool_u8_forward(a->dims, a->x, a->y, a->argmax);
}

void kg_max_pool_backward_kept(const kg_max_pool_backward_u8_t *a,
                               kg_max_pool_u8_backward_fn *kernel) {
    kg_pool_dims_t dims = *a->dims;
    int32_t above = dims.out_height * dims.out_width;
    int32_t below = dims.in_height * dims.in_width;
    if (a->kept == NULL) {
        kernel(&dims, a->e, a->argmax, a->dx);
        return;
    }
    dims.channels = 1;
    for (int32_t j = 0; j < a->kept->count; j++) {
        int32_t channel = a->kept->rows[j].row;
        const uint8_t *argmax = a->argmax + channel * above;
        kernel(&dims, a->e + channel * above, argmax, a->dx + channel * below);
    }
}

void kg_step_max_pool_backward_u8(const void *args, kg_training_t *training) {
    (void)training;
    kg_max_pool_backward_kept(args, kg_max_pool_u8_backward);
}

void kg_step_average_pool_u8(const void *args, kg_training_t *training) {
    const kg_average_pool_u8_t *a = args;
    (void)training;
    kg_average_pool_u8_forward(a->dims, a->x, a->quant, a->y);
}

void kg_step_average_pool_backward_u8(const void *args, kg_training_t *training) {
    const kg_average_pool_backward_u8_t *a = args;
    (void)training;
    (void)kg_average_pool_u8_backward(a->dims, a->e, a->quant, a->mask, a->dx);
}

void kg_step_upsample_u8(const void *args, kg_training_t *training) {
    const kg_upsample_u8_t *a = args;
    (void)training;
    kg_upsample_u8_forward(a->dims, a->x, a->y);
}

void kg_step_upsample_backward_u8(const void *args, kg_training_t *training) {
    const kg_upsample_backward_u8_t *a = args;
    (void)training;
    int32_t peak = kg_upsample_u8_backward(a->dims, a->e, a->factor, a->dx);
    kg_error_scale_see(a->dx_scale, (float)peak * kg_error_step(a->e_scale));
}

void kg_step_upsample_refresh_u8(const void *args, kg_training_t *training) {
    const kg_upsample_refresh_u8_t *a = args;
    (void)training;
    *a->factor = kg_limited_factor(kg_error_step(a->e_scale) / a->dx_scale->scale);
}

void kg_step_add_u8(const void *args, kg_training_t *training) {
    const kg_add_u8_t *a = args;
    (void)training;
    kg_add_u8_forward(a->count, a->a, a->b, a->quant, a->y);
}

void kg_step_join_u8(const void *args, kg_training_t *training) {
    const kg_join_u8_t *a = args;
    (void)training;
    int32_t sum = kg_join_u8(a->count, a->a, a->b, a->quant, a->mask, a->mask_zero, a->dx);
    float unit = a->dx_scale->scale * kg_exp2i(-a->quant->shift);
    kg_error_scale_see(a->dx_scale, (float)sum * unit);
}

// Both ratios as integers over one power of two, the larger below 2^21.
void kg_step_join_refresh_u8(const void *args, kg_training_t *training) {
    const kg_join_refresh_u8_t *a = args;
    (void)training;
    float ratio_a = kg_error_step(a->a_scale) / a->dx_scale->scale;
    float ratio_b =
        a->b_scale.error == NULL ? 0.0f : kg_error_step(a->b_scale) / a->dx_scale->scale;
    int32_t shift = 20 - kg_ceil_log2(kg_maxf(ratio_a, ratio_b));
    shift = kg_clamp(shift, 1, 30);
    a->quant->shift = shift;
    a->quant->a_weight = kg_clamp(kg_round(ratio_a * kg_exp2i(shift)), 0, (1 << 21) - 1);
    a->quant->b_weight = kg_clamp(kg_round(ratio_b * kg_exp2i(shift)), 0, (1 << 21) - 1);
}

void kg_step_relu_u8(const void *args, kg_training_t *training) {
    const kg_relu_u8_t *a = args;
    (void)training;
    kg_relu_u8_forward(a->count, a->x, a->y_min, a->y_max, a->y);
}

void kg_step_relu_mask_u8(const void *args, kg_training_t *training) {
    const kg_relu_mask_u8_t *a = args;
    (void)training;
    kg_relu_u8_mask(a->count, a->zero, a->y_max, a->y);
}
