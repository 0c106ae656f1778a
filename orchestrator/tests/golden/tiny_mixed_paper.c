// Generated file, do not edit. Template: model.c.j2, model: tiny_mixed_paper.
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

static uint8_t kg_features[88] __attribute__((section(".kg_features"), aligned(8)));
#define t_input ((void *)(kg_features + 24))  // uint8_t, 16 bytes
#define t_hidden ((void *)(kg_features + 72))  // uint8_t, 2 bytes
#define t_hidden_float32 ((void *)(kg_features + 0))  // float, 8 bytes
#define t_fc ((void *)(kg_features + 40))  // float, 12 bytes
#define t_loss_p ((void *)(kg_features + 56))  // float, 12 bytes
#define t_loss_error ((void *)(kg_features + 56))  // float, 12 bytes
#define t_hidden_float32_error ((void *)(kg_features + 80))  // float, 8 bytes
#define t_fc_input_gradient_scratch ((void *)(kg_features + 0))  // uint8_t, 24 bytes
#define t_hidden_error ((void *)(kg_features + 72))  // uint8_t, 2 bytes

// --- weights that are trained ---

static uint8_t hidden_w[32] KG_SECTION(".kg_trained") = {
    11, 19, 26, 34, 41, 49, 56, 64, 71, 79, 86, 94, 101, 109, 116, 124, 131, 138, 146, 153, 161,
    168, 176, 183, 191, 198, 206, 213, 221, 228, 236, 243
};

static int32_t hidden_b[2] KG_SECTION(".kg_trained") = {
    -30510, 0
};

static float fc_w[6] KG_SECTION(".kg_trained") = {
    -0x1p-1f, -0x1.555556p-2f, -0x1.555556p-3f, 0x0p+0f, 0x1.555556p-3f, 0x1.555556p-2f
};

static float fc_b[3] KG_SECTION(".kg_trained") = {
    -0x1.555556p-2f, 0x0p+0f, 0x1.555556p-2f
};

// --- gradients of the minibatch ---

static float fc_g[6] KG_SECTION(".kg_gradients");
static float fc_gb[3] KG_SECTION(".kg_gradients");
static kg_row_statistics_t fc_statistics[3] KG_SECTION(".kg_gradients");
static float hidden_g[32] KG_SECTION(".kg_gradients");
static int32_t hidden_gb[2] KG_SECTION(".kg_gradients");
static kg_row_statistics_t hidden_statistics[2] KG_SECTION(".kg_gradients");

// --- scales and fixed-point factors that training changes ---

static kg_conv_quant_t hidden_quant KG_SECTION(".kg_trained") = {
    .x_zero = 0,
    .w_zero = 131,
    .y_zero = 0,
    .y_min = 0,
    .y_max = 255,
    .forward = {.multiplier = 1323294592, .shift = 40},
    .backward = {.multiplier = 0, .shift = 1},
};

static kg_parameter_u8_state_t hidden_state KG_SECTION(".kg_trained") = {
    .w_scale = 0x1.11deacp-8f,
    .g_shift = 6,
    .e_exponent = -7,
};

static kg_error_scale_t hidden_error_scale KG_SECTION(".kg_trained") = {
    .scale = 0x1.010102p-7f,
    .exponent = -7,
    .peak = 0x0p+0f,
    .range = 0x0p+0f,
};

// --- shapes and arguments of the steps ---

static const kg_conv_dims_t hidden_dims = {
    .in_channels = 16,
    .in_height = 1,
    .in_width = 1,
    .out_channels = 2,
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

static const kg_forward_u8_t hidden_forward = {
    .dims = &hidden_dims,
    .x = t_input,
    .w = hidden_w,
    .b = hidden_b,
    .kernel = kg_linear_u8_forward,
    .quant = &hidden_quant,
    .y = t_hidden,
    .scratch = NULL,
};

static const kg_dequantise_t hidden_dequantise_forward = {
    .count = 2,
    .x = t_hidden,
    .scale = 0x1.be2ff8p-7f,
    .zero = 0,
    .y = t_hidden_float32,
};

static const kg_conv_dims_t fc_dims = {
    .in_channels = 2,
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

static const kg_forward_f32_t fc_forward = {
    .dims = &fc_dims,
    .x = t_hidden_float32,
    .w = fc_w,
    .b = fc_b,
    .kernel = kg_linear_f32_forward,
    .y_min = -0x1.fffffep+127f,
    .y_max = 0x1.fffffep+127f,
    .y = t_fc,
    .scratch = NULL,
};

static const kg_softmax_t loss_softmax = {
    .classes = 3,
    .logits = t_fc,
    .p = t_loss_p,
};

static const kg_output_error_f32_t loss_output_error = {
    .classes = 3,
    .p = t_loss_p,
    .e = t_loss_error,
};

static const kg_parameter_f32_t fc_parameter = {
    .matrix = {.rows = 3, .columns = 2, .stream = 0},
    .w = fc_w,
    .b = fc_b,
    .g = fc_g,
    .gb = fc_gb,
    .statistics = fc_statistics,
    .marks = NULL,
};

static const kg_outer_gradient_f32_t fc_weight_gradient = {
    .x = t_hidden_float32,
    .e = t_loss_error,
    .kept = NULL,
    .parameter = &fc_parameter,
    .add = kg_paper_f32_add_outer,
};

static const kg_input_gradient_f32_t fc_input_gradient = {
    .dims = &fc_dims,
    .kernel = kg_linear_f32_input_gradient,
    .e = t_loss_error,
    .kept = NULL,
    .w = fc_w,
    .mask = NULL,
    .dx = t_hidden_float32_error,
    .scratch = t_fc_input_gradient_scratch,
};

static const kg_dequantise_backward_t hidden_dequantise_backward = {
    .count = 2,
    .e = t_hidden_float32_error,
    .mask = t_hidden,
    .dx = t_hidden_error,
    .mask_zero = 0,
    .scale = &hidden_error_scale,
};

static const kg_parameter_u8_t hidden_parameter = {
    .matrix = {.rows = 2, .columns = 16, .stream = 1},
    .w = hidden_w,
    .b = hidden_b,
    .g = hidden_g,
    .gb = hidden_gb,
    .statistics = hidden_statistics,
    .marks = NULL,
    .bias_momentum = NULL,
    .state = &hidden_state,
    .quant = &hidden_quant,
    .error = &hidden_error_scale,
    .error_factor = 0x1p+0f,
    .x_scale = 0x1.010102p-8f,
};

static const kg_outer_gradient_u8_t hidden_weight_gradient = {
    .x = t_input,
    .e = t_hidden_error,
    .kept = NULL,
    .parameter = &hidden_parameter,
    .add = kg_paper_u8_add_outer,
};

static const kg_refresh_u8_t hidden_refresh = {
    .quant = &hidden_quant,
    .w_scale = &hidden_state.w_scale,
    .x_scale = 0x1.010102p-8f,
    .y_scale = 0x1.be2ff8p-7f,
    .e_scale = {.error = &hidden_error_scale, .factor = 0x1p+0f},
    .dx_scale = NULL,
};

// --- the steps of each phase ---

static const kg_step_t forward_steps[4] = {
    {kg_step_forward_u8, &hidden_forward},
    {kg_step_dequantise, &hidden_dequantise_forward},
    {kg_step_forward_f32, &fc_forward},
    {kg_step_softmax, &loss_softmax},
};

static const kg_step_t backward_steps[5] = {
    {kg_step_output_error_f32, &loss_output_error},
    {kg_step_outer_gradient_f32, &fc_weight_gradient},
    {kg_step_input_gradient_f32, &fc_input_gradient},
    {kg_step_dequantise_backward, &hidden_dequantise_backward},
    {kg_step_outer_gradient_u8, &hidden_weight_gradient},
};

static const kg_step_t update_steps[3] = {
    {kg_step_paper_f32_update, &fc_parameter},
    {kg_step_paper_u8_update, &hidden_parameter},
    {kg_step_refresh_u8, &hidden_refresh},
};

static uint64_t step_cycles[12];

static const kg_region_t state[13] = {
    {hidden_w, sizeof(hidden_w)},
    {hidden_b, sizeof(hidden_b)},
    {&hidden_quant, sizeof(hidden_quant)},
    {&hidden_state, sizeof(hidden_state)},
    {fc_w, sizeof(fc_w)},
    {fc_b, sizeof(fc_b)},
    {fc_g, sizeof(fc_g)},
    {fc_gb, sizeof(fc_gb)},
    {fc_statistics, sizeof(fc_statistics)},
    {&hidden_error_scale, sizeof(hidden_error_scale)},
    {hidden_g, sizeof(hidden_g)},
    {hidden_gb, sizeof(hidden_gb)},
    {hidden_statistics, sizeof(hidden_statistics)},
};

const kg_model_t kg_model = {
    .name = "tiny_mixed_paper",
    .id = 0xfb5ac5dbu,
    .phases = {
        {forward_steps, 4},
        {backward_steps, 5},
        {update_steps, 3},
    },
    .state = state,
    .state_count = 13,
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
