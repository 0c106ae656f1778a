// SPDX-License-Identifier: Apache-2.0
// Turns convolutions into matrix products over shifted maps, for the host's kernels.
//
// A padded map is stored row after row; then the element under tap (u, v) of output position (r, c)
// lies at a constant distance from lane r * pitch + c, and one tap is one shifted run of floats.
// With a stride, each phase (row and column modulo the stride) is a map of its own.
#include "ops/conv2d_host.h"

#include <string.h>

#include "ops/window.h"

// Lays rows, taps and map_floats out in scratch. Returns the bytes.
static size_t lay_out(kg_product_t *product, int32_t map_floats, void *scratch) {
    int32_t rows = kg_round_up(product->rows, KG_TILE_ROWS);
    product->lanes = kg_round_up(product->height * product->pitch, KG_TILE_LANES);
    size_t maps = (size_t)kg_round_up(map_floats + product->pitch + KG_TILE_LANES, KG_VECTOR_LANES);
    size_t a = (size_t)(rows * product->taps);
    size_t sums = (size_t)(rows * product->lanes);
    size_t offsets = (size_t)kg_round_up(product->taps, 2);
    if (scratch != NULL) {
        product->maps = scratch;
        product->a = product->maps + maps;
        product->sums = product->a + a;
        product->offsets = (int32_t *)(product->a + a + sums);
    }
    return (maps + a + sums + offsets) * sizeof(float);
}

// a[row / 4][k][row % 4] = value
static void set_weight(kg_product_t *product, int32_t row, int32_t k, float value) {
    int32_t tile = row / KG_TILE_ROWS * product->taps + k;
    product->a[tile * KG_TILE_ROWS + row % KG_TILE_ROWS] = value;
}

static void clear_unused_rows(kg_product_t *product) {
    for (int32_t row = product->rows; row % KG_TILE_ROWS != 0; row++) {
        for (int32_t k = 0; k < product->taps; k++) {
            set_weight(product, row, k, 0.0f);
        }
    }
}

// The size of one forward map: an output position for each tap that lies in it.
static int32_t map_height(const kg_conv_dims_t *dims) {
    return dims->out_height + (dims->kernel_height - 1) / dims->stride_height;
}
static int32_t map_width(const kg_conv_dims_t *dims) {
    return dims->out_width + (dims->kernel_width - 1) / dims->stride_width;
}

size_t kg_conv2d_host_forward(const kg_conv_dims_t *dims, kg_product_t *product, void *scratch) {
    product->rows = kg_conv_group_outputs(dims);
    product->taps = kg_conv_columns(dims);
    product->height = dims->out_height;
    product->width = dims->out_width;
    product->pitch = map_width(dims);
    int32_t maps = kg_conv_group_inputs(dims) * dims->stride_height * dims->stride_width;
    return lay_out(product, maps * map_height(dims) * map_width(dims), scratch);
}

// Fills the map of phase (a, b) from one input channel: map[y][x] = x[y*S + a - P][x*S + b - P].
static void fill_phase(const kg_conv_dims_t *dims, const float *x, int32_t a, int32_t b,
                       float *map) {
    int32_t width = map_width(dims);
    int32_t top = a - dims->pad_top;
    int32_t left = b - dims->pad_left;
    kg_range_t rows =
        kg_outputs_inside(top, dims->stride_height, dims->in_height, map_height(dims));
    kg_range_t cols = kg_outputs_inside(left, dims->stride_width, dims->in_width, width);
    for (int32_t r = rows.first; r < rows.end; r++) {
        const float *from = x + (r * dims->stride_height + top) * dims->in_width + left;
        float *to = map + r * width;
        if (dims->stride_width == 1 && cols.first < cols.end) {
            memcpy(to + cols.first, from + cols.first,
                   (size_t)(cols.end - cols.first) * sizeof(float));
            continue;
        }
        for (int32_t c = cols.first; c < cols.end; c++) {
            to[c] = from[c * dims->stride_width];
        }
    }
}

static void set_forward_offsets(const kg_conv_dims_t *dims, kg_product_t *product) {
    int32_t *offset = product->offsets;
    for (int32_t i = 0; i < kg_conv_group_inputs(dims); i++) {
        for (int32_t u = 0; u < dims->kernel_height; u++) {
            for (int32_t v = 0; v < dims->kernel_width; v++) {
                int32_t row = i * dims->stride_height + u % dims->stride_height;
                int32_t map = row * dims->stride_width + v % dims->stride_width;
                *offset++ = (map * map_height(dims) + u / dims->stride_height) * product->pitch +
                            v / dims->stride_width;
            }
        }
    }
}

void kg_conv2d_host_forward_fill(const kg_conv_dims_t *dims, int32_t group, const float *x,
                                 const float *w, kg_product_t *product) {
    int32_t channels = kg_conv_group_inputs(dims);
    float *map = product->maps;
    memset(map, 0, (size_t)((char *)product->a - (char *)map));
    for (int32_t i = group * channels; i < (group + 1) * channels; i++) {
        const float *from = x + i * dims->in_height * dims->in_width;
        for (int32_t a = 0; a < dims->stride_height; a++) {
            for (int32_t b = 0; b < dims->stride_width; b++) {
                fill_phase(dims, from, a, b, map);
                map += map_height(dims) * map_width(dims);
            }
        }
    }
    set_forward_offsets(dims, product);
    for (int32_t row = 0; row < product->rows; row++) {
        const float *from = w + (group * product->rows + row) * product->taps;
        for (int32_t k = 0; k < product->taps; k++) {
            set_weight(product, row, k, from[k]);
        }
    }
    clear_unused_rows(product);
}

// The errors' map: margins above and left of it hold the outputs before the first, and below and
// right it reaches as far as the input does.
static int32_t margin(int32_t kernel, int32_t stride) {
    return (kernel - 1) / stride;
}
static int32_t error_extent(int32_t in, int32_t pad, int32_t kernel, int32_t stride, int32_t out) {
    int32_t last = (in - 1 + pad) / stride + 1;
    return margin(kernel, stride) + (last > out ? last : out);
}
static int32_t error_height(const kg_conv_dims_t *dims) {
    return error_extent(dims->in_height, dims->pad_top, dims->kernel_height, dims->stride_height,
                        dims->out_height);
}
static int32_t error_width(const kg_conv_dims_t *dims) {
    return error_extent(dims->in_width, dims->pad_left, dims->kernel_width, dims->stride_width,
                        dims->out_width);
}

size_t kg_conv2d_host_gradient(const kg_conv_dims_t *dims, kg_product_t *product, void *scratch) {
    int32_t outs = kg_conv_group_outputs(dims);
    product->rows = kg_conv_group_inputs(dims);
    product->taps = outs * (margin(dims->kernel_height, dims->stride_height) + 1) *
                    (margin(dims->kernel_width, dims->stride_width) + 1);
    product->height = (dims->in_height - 1) / dims->stride_height + 1;
    product->pitch = error_width(dims);
    return lay_out(product, outs * error_height(dims) * error_width(dims), scratch);
}

static kg_kept_range_t kept_outs(const kg_conv_dims_t *dims, int32_t group, const kg_kept_t *kept) {
    int32_t outs = kg_conv_group_outputs(dims);
    return kg_kept_between(kept, group * outs, (group + 1) * outs);
}

void kg_conv2d_host_gradient_maps(const kg_conv_dims_t *dims, int32_t group, const float *e,
                                  const kg_kept_t *kept, float unit, kg_product_t *product) {
    kg_kept_range_t outs = kept_outs(dims, group, kept);
    int32_t plane = dims->out_height * dims->out_width;
    float *to = product->maps + margin(dims->kernel_height, dims->stride_height) * product->pitch +
                margin(dims->kernel_width, dims->stride_width);
    memset(product->maps, 0, (size_t)((char *)product->a - (char *)product->maps));
    for (int32_t j = outs.first; j < outs.end; j++) {
        kg_kept_row_t kept_row = kg_kept_at(kept, j);
        const float *from = e + kept_row.row * plane;
        float scale = (float)kept_row.factor * unit;
        for (int32_t r = 0; r < dims->out_height; r++, from += dims->out_width) {
            float *row = to + ((j - outs.first) * error_height(dims) + r) * product->pitch;
            for (int32_t c = 0; c < dims->out_width; c++) {
                row[c] = from[c] * scale;
            }
        }
    }
}

// Sets the taps of phase (a, b): those (u, v) that any of its elements is under.
static void set_gradient_offsets(const kg_conv_dims_t *dims, kg_kept_range_t outs, int32_t a,
                                 int32_t b, kg_product_t *product) {
    int32_t first_u = (a + dims->pad_top) % dims->stride_height;
    int32_t first_v = (b + dims->pad_left) % dims->stride_width;
    int32_t bottom = (a + dims->pad_top) / dims->stride_height +
                     margin(dims->kernel_height, dims->stride_height);
    int32_t right =
        (b + dims->pad_left) / dims->stride_width + margin(dims->kernel_width, dims->stride_width);
    product->taps = 0;
    for (int32_t o = 0; o < outs.end - outs.first; o++) {
        int32_t row = o * error_height(dims) + bottom;
        for (int32_t u = first_u; u < dims->kernel_height; u += dims->stride_height, row--) {
            int32_t offset = row * product->pitch + right;
            for (int32_t v = first_v; v < dims->kernel_width; v += dims->stride_width) {
                product->offsets[product->taps++] = offset--;
            }
        }
    }
}

// Sets the weights of one row, in the order of the taps; w starts at w[0,row,0,0].
static void set_gradient_weights(const kg_conv_dims_t *dims, kg_kept_range_t outs,
                                 const kg_kept_t *kept, int32_t a, int32_t b, const float *w,
                                 int32_t row, kg_product_t *product) {
    int32_t first_u = (a + dims->pad_top) % dims->stride_height;
    int32_t first_v = (b + dims->pad_left) % dims->stride_width;
    int32_t columns = kg_conv_columns(dims);
    int32_t k = 0;
    for (int32_t j = outs.first; j < outs.end; j++) {
        const float *from = w + kg_kept_at(kept, j).row * columns;
        for (int32_t u = first_u; u < dims->kernel_height; u += dims->stride_height) {
            for (int32_t v = first_v; v < dims->kernel_width; v += dims->stride_width) {
                set_weight(product, row, k++, from[u * dims->kernel_width + v]);
            }
        }
    }
}

void kg_conv2d_host_gradient_phase(const kg_conv_dims_t *dims, int32_t group, const kg_kept_t *kept,
                                   int32_t a, int32_t b, const float *w, kg_product_t *product) {
    kg_kept_range_t outs = kept_outs(dims, group, kept);
    int32_t taps = dims->kernel_height * dims->kernel_width;
    product->height = (dims->in_height - a + dims->stride_height - 1) / dims->stride_height;
    product->width = (dims->in_width - b + dims->stride_width - 1) / dims->stride_width;
    set_gradient_offsets(dims, outs, a, b, product);
    for (int32_t row = 0; row < product->rows; row++) {
        set_gradient_weights(dims, outs, kept, a, b, w + row * taps, row, product);
    }
    clear_unused_rows(product);
}

void kg_product_run_f32(const kg_product_t *product) {
    for (int32_t row = 0; row < product->rows; row += KG_TILE_ROWS) {
        float *sums = product->sums + row * product->lanes;
        for (int32_t lane = 0; lane < product->lanes; lane += KG_TILE_LANES) {
            float tile[KG_TILE_ROWS][KG_TILE_LANES];
            kg_tile(product->a + row * product->taps, product->maps + lane, product->offsets,
                    product->taps, tile);
            for (int32_t m = 0; m < KG_TILE_ROWS; m++) {
                memcpy(sums + m * product->lanes + lane, tile[m], sizeof tile[m]);
            }
        }
    }
}

// --- weight gradient -----------------------------------------------------------------------------

static int32_t padded_height(const kg_conv_dims_t *dims) {
    return (dims->out_height - 1) * dims->stride_height + dims->kernel_height;
}
static int32_t padded_width(const kg_conv_dims_t *dims) {
    return (dims->out_width - 1) * dims->stride_width + dims->kernel_width;
}

size_t kg_conv2d_host_row(const kg_conv_dims_t *dims, kg_row_t *row, void *scratch) {
    int32_t channels = kg_conv_group_inputs(dims);
    row->vectors = (dims->kernel_width * channels + KG_VECTOR_LANES - 1) / KG_VECTOR_LANES;
    row->pitch = padded_width(dims) * channels;
    row->group = padded_height(dims) * row->pitch;
    size_t pixels = (size_t)kg_round_up(dims->groups * row->group + KG_VECTOR_LANES, 2);
    size_t factors = (size_t)(dims->out_height * dims->out_width);
    size_t sums = (size_t)(dims->kernel_height * row->vectors * KG_VECTOR_LANES);
    size_t offsets = (size_t)kg_round_up(dims->out_height * dims->out_width, 2);
    if (scratch != NULL) {
        row->pixels = scratch;
        row->factors = (kg_factor_t *)(row->pixels + pixels);
        row->sums = (float *)(row->factors + factors);
        row->offsets = (int32_t *)(row->sums + sums);
    }
    return factors * sizeof(kg_factor_t) + (pixels + sums + offsets) * sizeof(float);
}

static void set_row_offsets(const kg_conv_dims_t *dims, const kg_row_t *row) {
    int32_t step = dims->stride_width * kg_conv_group_inputs(dims);
    int32_t *to = row->offsets;
    for (int32_t r = 0; r < dims->out_height; r++) {
        int32_t offset = r * dims->stride_height * row->pitch;
        for (int32_t c = 0; c < dims->out_width; c++, offset += step) {
            *to++ = offset;
        }
    }
}

void kg_conv2d_host_row_pixels(const kg_conv_dims_t *dims, int32_t group, const float *x,
                               kg_row_t *row) {
    int32_t channels = kg_conv_group_inputs(dims);
    float *pixels = row->pixels + group * row->group;
    kg_range_t rows = kg_outputs_inside(-dims->pad_top, 1, dims->in_height, padded_height(dims));
    kg_range_t cols = kg_outputs_inside(-dims->pad_left, 1, dims->in_width, padded_width(dims));
    memset(pixels, 0, (size_t)(row->group + KG_VECTOR_LANES) * sizeof(float));
    set_row_offsets(dims, row);
    for (int32_t r = rows.first; r < rows.end; r++) {
        const float *from = x + (r - dims->pad_top) * dims->in_width - dims->pad_left;
        float *to = pixels + r * row->pitch;
        for (int32_t i = 0; i < channels; i++, from += dims->in_height * dims->in_width) {
            for (int32_t c = cols.first; c < cols.end; c++) {
                to[c * channels + i] = from[c];
            }
        }
    }
}

void kg_conv2d_host_row_sums(const kg_conv_dims_t *dims, const kg_row_t *row, int32_t group,
                             const kg_factor_t *factors, int32_t count) {
    const float *bases[6];
    int32_t total = dims->kernel_height * row->vectors;
    for (int32_t first = 0, step; first < total; first += step) {
        for (int32_t j = 0; j < 6; j++) {
            int32_t vector = first + j < total ? first + j : total - 1;
            bases[j] = row->pixels + group * row->group + vector / row->vectors * row->pitch +
                       vector % row->vectors * KG_VECTOR_LANES;
        }
        float *sums = row->sums + first * KG_VECTOR_LANES;
        if (total - first >= 6) {
            kg_combine(factors, count, bases, step = 6, sums);
        } else if (total - first >= 3) {
            kg_combine(factors, count, bases, step = 3, sums);
        } else {
            kg_combine(factors, count, bases, step = 1, sums);
        }
    }
}
