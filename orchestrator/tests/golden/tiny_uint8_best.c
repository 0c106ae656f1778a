// Generated file, do not edit. Template: model.c.j2, model: tiny_uint8_best.
// Tables of one model: where its tensors lie, what its steps do, what training changes.
#include "kilograd/model.h"

#include "ops/conv2d.h"
#include "ops/conv_transpose2d.h"
#include "ops/linear.h"
#include "runtime/select.h"
#include "runtime/steps_elbo.h"
#include "runtime/steps_f32.h"
#include "runtime/steps_gate.h"
#include "runtime/steps_latent.h"
#include "runtime/steps_loss.h"
#include "runtime/steps_u8.h"
#include "runtime/update.h"

#define KG_SECTION(name) __attribute__((section(name), aligned(4)))

// --- feature maps and errors: one arena, planned by their lives ---

static uint8_t kg_features[232] __attribute__((section(".kg_features"), aligned(8)));
#define t_input ((void *)(kg_features + 200))  // uint8_t, 16 bytes
#define t_conv_forward_scratch ((void *)(kg_features + 0))  // uint8_t, 72 bytes
#define t_conv ((void *)(kg_features + 72))  // uint8_t, 32 bytes
#define t_pool ((void *)(kg_features + 24))  // uint8_t, 8 bytes
#define t_pool_argmax ((void *)(kg_features + 32))  // uint8_t, 8 bytes
#define t_fc ((void *)(kg_features + 216))  // float, 12 bytes
#define t_loss_p ((void *)(kg_features + 0))  // float, 12 bytes
#define t_loss_error ((void *)(kg_features + 40))  // uint8_t, 3 bytes
#define t_pool_error ((void *)(kg_features + 24))  // uint8_t, 8 bytes
#define t_fc_input_gradient_scratch ((void *)(kg_features + 0))  // uint8_t, 24 bytes
#define t_conv_error ((void *)(kg_features + 168))  // uint8_t, 32 bytes
#define t_conv_weight_gradient_scratch ((void *)(kg_features + 0))  // uint8_t, 128 bytes
#define t_conv_row ((void *)(kg_features + 128))  // int32_t, 36 bytes

// --- weights that are trained ---

static uint8_t conv_w[18] KG_SECTION(".kg_trained") = {
    11, 25, 39, 52, 66, 79, 93, 107, 120, 134, 148, 161, 175, 189, 202, 216, 229, 243
};

static int32_t conv_b[2] KG_SECTION(".kg_trained") = {
    -31295, 0
};

static uint8_t fc_w[24] KG_SECTION(".kg_trained") = {
    12, 22, 32, 42, 52, 62, 73, 83, 93, 103, 113, 123, 133, 143, 153, 163, 173, 183, 193, 204, 214,
    224, 234, 244
};

static int32_t fc_b[3] KG_SECTION(".kg_trained") = {
    -10765, 0, 10765
};

// --- gradients of the minibatch ---

static int16_t fc_g[24] KG_SECTION(".kg_gradients");
static int32_t fc_gb[3] KG_SECTION(".kg_gradients");
static int16_t conv_g[18] KG_SECTION(".kg_gradients");
static int32_t conv_gb[2] KG_SECTION(".kg_gradients");

// --- scales and fixed-point factors that training changes ---

static kg_conv_quant_t conv_quant KG_SECTION(".kg_trained") = {
    .x_zero = 0,
    .w_zero = 134,
    .y_zero = 0,
    .y_min = 0,
    .y_max = 255,
    .forward = {.multiplier = 1172609280, .shift = 39},
    .backward = {.multiplier = 0, .shift = 1},
};

static kg_parameter_u8_state_t conv_state KG_SECTION(".kg_trained") = {
    .w_scale = 0x1.0aff9ep-8f,
    .g_shift = 6,
    .e_exponent = -7,
};

static kg_conv_quant_t fc_quant KG_SECTION(".kg_trained") = {
    .x_zero = 0,
    .w_zero = 133,
    .y_zero = 0,
    .y_min = 0,
    .y_max = 255,
    .forward = {.multiplier = 1089492096, .shift = 45},
    .backward = {.multiplier = 1136341632, .shift = 38},
};

static kg_parameter_u8_state_t fc_state KG_SECTION(".kg_trained") = {
    .w_scale = 0x1.0eeccap-8f,
    .g_shift = 6,
    .e_exponent = -7,
};

static kg_error_scale_t loss_error_scale KG_SECTION(".kg_trained") = {
    .scale = 0x1p-7f,
    .exponent = -7,
    .peak = 0x0p+0f,
    .range = 0x0p+0f,
};

static kg_error_scale_t pool_error_scale KG_SECTION(".kg_trained") = {
    .scale = 0x1p-7f,
    .exponent = -7,
    .peak = 0x0p+0f,
    .range = 0x0p+0f,
};

// --- shapes and arguments of the steps ---

static const kg_conv_dims_t conv_dims = {
    .in_channels = 1,
    .out_channels = 2,
    .in_height = 4,
    .in_width = 4,
    .out_height = 4,
    .out_width = 4,
    .kernel_height = 3,
    .kernel_width = 3,
    .stride_height = 1,
    .stride_width = 1,
    .pad_top = 1,
    .pad_left = 1,
    .groups = 1,
};

static const kg_forward_u8_t conv_forward = {
    .dims = &conv_dims,
    .x = t_input,
    .w = conv_w,
    .b = conv_b,
    .kernel = kg_conv2d_u8_forward,
    .quant = &conv_quant,
    .y = t_conv,
    .scratch = t_conv_forward_scratch,
};

static const kg_pool_dims_t pool_dims = {
    .channels = 2,
    .in_height = 4,
    .in_width = 4,
    .out_height = 2,
    .out_width = 2,
    .kernel_height = 2,
    .kernel_width = 2,
    .stride_height = 2,
    .stride_width = 2,
    .pad_top = 0,
    .pad_left = 0,
};

static const kg_max_pool_u8_t pool_forward = {
    .dims = &pool_dims,
    .x = t_conv,
    .y = t_pool,
    .argmax = t_pool_argmax,
};

static const kg_conv_dims_t fc_dims = {
    .in_channels = 8,
    .in_height = 1,
    .in_width = 1,
    .out_channels = 3,
    .out_height = 1,
    .out_width = 1,
    .kernel_height = 1,
    .kernel_width = 1,
    .stride_height = 1,
    .stride_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .groups = 1,
};

static const kg_logits_u8_t fc_forward = {
    .dims = &fc_dims,
    .x = t_pool,
    .w = fc_w,
    .b = fc_b,
    .quant = &fc_quant,
    .w_scale = &fc_state.w_scale,
    .x_scale = 0x1.eae41ep-8f,
    .logits = t_fc,
};

static const kg_softmax_t loss_softmax = {
    .classes = 3,
    .logits = t_fc,
    .p = t_loss_p,
};

static const kg_output_error_u8_t loss_output_error = {
    .classes = 3,
    .p = t_loss_p,
    .e = t_loss_error,
    .scale = &loss_error_scale,
};

static const kg_parameter_u8_t fc_parameter = {
    .matrix = {.rows = 3, .columns = 8, .stream = 0},
    .w = fc_w,
    .b = fc_b,
    .g = fc_g,
    .gb = fc_gb,
    .statistics = NULL,
    .marks = NULL,
    .bias_momentum = NULL,
    .state = &fc_state,
    .quant = &fc_quant,
    .error = &loss_error_scale,
    .error_factor = 0x1p+0f,
    .x_scale = 0x1.eae41ep-8f,
};

static const kg_outer_gradient_u8_t fc_weight_gradient = {
    .x = t_pool,
    .e = t_loss_error,
    .kept = NULL,
    .parameter = &fc_parameter,
    .add = kg_best_u8_add_outer,
};

static const kg_error_scale_follow_t pool_error_scale_follow = {
    .error = &pool_error_scale,
    .largest = 0x1.fcp+6f,
};

static const kg_input_gradient_u8_t fc_input_gradient = {
    .dims = &fc_dims,
    .kernel = kg_linear_u8_input_gradient,
    .e = t_loss_error,
    .kept = NULL,
    .w = fc_w,
    .mask = t_pool,
    .dx = t_pool_error,
    .scratch = t_fc_input_gradient_scratch,
    .quant = &fc_quant,
    .w_scale = &fc_state.w_scale,
    .e_scale = {.error = &loss_error_scale, .factor = 0x1p+0f},
    .dx_scale = &pool_error_scale,
};

static const kg_refresh_u8_t fc_refresh = {
    .quant = &fc_quant,
    .w_scale = &fc_state.w_scale,
    .x_scale = 0x1.eae41ep-8f,
    .y_scale = 0x1p+0f,
    .e_scale = {.error = &loss_error_scale, .factor = 0x1p+0f},
    .dx_scale = &pool_error_scale,
};

static const kg_max_pool_backward_u8_t pool_backward = {
    .dims = &pool_dims,
    .e = t_pool_error,
    .argmax = t_pool_argmax,
    .kept = NULL,
    .dx = t_conv_error,
};

static const kg_parameter_u8_t conv_parameter = {
    .matrix = {.rows = 2, .columns = 9, .stream = 1},
    .w = conv_w,
    .b = conv_b,
    .g = conv_g,
    .gb = conv_gb,
    .statistics = NULL,
    .marks = NULL,
    .bias_momentum = NULL,
    .state = &conv_state,
    .quant = &conv_quant,
    .error = &pool_error_scale,
    .error_factor = 0x1p+0f,
    .x_scale = 0x1.010102p-8f,
};

static const kg_row_gradient_u8_t conv_weight_gradient = {
    .x = t_input,
    .e = t_conv_error,
    .kept = NULL,
    .parameter = &conv_parameter,
    .dims = &conv_dims,
    .prepare = NULL,
    .kernel = kg_conv2d_u8_weight_gradient,
    .row = t_conv_row,
    .scratch = t_conv_weight_gradient_scratch,
    .add = kg_best_u8_add_row,
};

static const kg_refresh_u8_t conv_refresh = {
    .quant = &conv_quant,
    .w_scale = &conv_state.w_scale,
    .x_scale = 0x1.010102p-8f,
    .y_scale = 0x1.eae41ep-8f,
    .e_scale = {.error = &pool_error_scale, .factor = 0x1p+0f},
    .dx_scale = NULL,
};

// --- the steps of each phase ---

static const kg_step_t forward_steps[4] = {
    {kg_step_forward_u8, &conv_forward},
    {kg_step_max_pool_u8, &pool_forward},
    {kg_step_logits_u8, &fc_forward},
    {kg_step_softmax, &loss_softmax},
};

static const kg_step_t backward_steps[5] = {
    {kg_step_output_error_u8, &loss_output_error},
    {kg_step_outer_gradient_u8, &fc_weight_gradient},
    {kg_step_input_gradient_u8, &fc_input_gradient},
    {kg_step_max_pool_backward_u8, &pool_backward},
    {kg_step_row_gradient_u8, &conv_weight_gradient},
};

static const kg_step_t update_steps[5] = {
    {kg_step_error_scale_follow, &pool_error_scale_follow},
    {kg_step_best_u8_update, &fc_parameter},
    {kg_step_best_u8_update, &conv_parameter},
    {kg_step_refresh_u8, &fc_refresh},
    {kg_step_refresh_u8, &conv_refresh},
};

static uint64_t step_cycles[14];

static const kg_region_t state[14] = {
    {conv_w, sizeof(conv_w)},
    {conv_b, sizeof(conv_b)},
    {&conv_quant, sizeof(conv_quant)},
    {&conv_state, sizeof(conv_state)},
    {fc_w, sizeof(fc_w)},
    {fc_b, sizeof(fc_b)},
    {&fc_quant, sizeof(fc_quant)},
    {&fc_state, sizeof(fc_state)},
    {&loss_error_scale, sizeof(loss_error_scale)},
    {fc_g, sizeof(fc_g)},
    {fc_gb, sizeof(fc_gb)},
    {&pool_error_scale, sizeof(pool_error_scale)},
    {conv_g, sizeof(conv_g)},
    {conv_gb, sizeof(conv_gb)},
};

const kg_model_t kg_model = {
    .name = "tiny_uint8_best",
    .id = 0x042feb0du,
    .phases = {
        {forward_steps, 4},
        {backward_steps, 5},
        {update_steps, 5},
    },
    .state = state,
    .state_count = 14,
    .input = t_input,
    .input_bytes = 16,
    .logits = t_fc,
    .classes = 3,
    .output = t_fc,
    .output_bytes = 12,
    .step_cycles = step_cycles,
    .tallies = NULL,
    .tally_count = 0,
};
