// SPDX-License-Identifier: Apache-2.0
// Selection of rows: whole numbers only, but for the loss and the norms of float32 errors.
#include "runtime/select.h"

#include "ops/error.h"
#include "runtime/dither.h"
#include "runtime/math.h"

#define SELECT_STREAM 0x30000u  // purpose of the dither, added to the layer's stream
#define LEAST_FACTOR (1u << KG_KEPT_FRACTION)
#define ONE (1u << 28)          // of probabilities
#define NORM_TOTAL 0x1p+20f     // of float32 norms as whole numbers
#define LARGEST_SUM (1u << 30)  // of uint8 gradients, with the fraction bits of factors
#define LARGEST_WEIGHT 255u     // |w - z_w|, |x - z_x|

static void start(kg_kept_t *kept, int32_t fraction) {
    kept->count = 0;
    kept->fraction = fraction;
}

static void append(kg_kept_t *kept, int32_t row, int32_t factor) {
    kept->rows[kept->count++] = (kg_kept_row_t){(int16_t)row, (int16_t)factor};
}

static uint32_t total_of(const int32_t *norms, int32_t rows) {
    uint32_t total = 0;
    for (int32_t j = 0; j < rows; j++) {
        total += (uint32_t)norms[j];
    }
    return total;
}

// 8 / c, where sum min(1, c norms[j]) = keep. Every round finds more rows that are kept for sure,
// until no other row joins them; mostly after two or three.
static uint32_t unit_of(const int32_t *norms, int32_t rows, int32_t keep) {
    uint32_t rest = total_of(norms, rows);  // of the norms of the others
    uint32_t want = (uint32_t)keep;         // of the others
    for (uint32_t known = 0, sure = 0;; known = sure) {
        int32_t sure_from = (int32_t)((rest + want - 1) / want);
        uint32_t others = 0;
        sure = 0;
        for (int32_t j = 0; j < rows; j++) {
            if (norms[j] >= sure_from) {
                sure++;
            } else {
                others += (uint32_t)norms[j];
            }
        }
        if (sure == known || others == 0) {  // ... or no more rows than asked for have an error
            break;
        }
        rest = others;
        want = (uint32_t)keep - sure;  // others > 0: some of the sum of c norms[j] is left for them
    }
    return rest * LEAST_FACTOR / want;
}

// Systematic sampling: probabilities are laid end to end, and a comb with teeth at distance 1,
// whose first place is random, picks the rows. One random number, and never more than one row from
// keep.
void kg_select_proportional(const int32_t *norms, int32_t rows, int32_t keep, uint32_t u,
                            kg_kept_t *kept) {
    uint32_t unit = unit_of(norms, rows, keep);
    uint32_t position = u >> 4;
    start(kept, KG_KEPT_FRACTION);
    for (int32_t j = 0; j < rows; j++) {
        uint32_t norm = (uint32_t)norms[j];
        if (norm == 0) {
            continue;
        }
        uint32_t factor = (unit + norm / 2) / norm;
        factor = factor < LEAST_FACTOR ? LEAST_FACTOR : factor;
        factor = factor > KG_KEPT_LARGEST_FACTOR ? KG_KEPT_LARGEST_FACTOR : factor;
        position += ONE * LEAST_FACTOR / factor;
        if (position >= ONE) {
            position -= ONE;
            append(kept, j, (int32_t)factor);
        }
    }
}

static int32_t count_from(const int32_t *norms, int32_t rows, int32_t least) {
    int32_t count = 0;
    for (int32_t j = 0; j < rows; j++) {
        count += norms[j] >= least;
    }
    return count;
}

// Finds the keep-th largest norm bit by bit: no sorting, no memory.
void kg_select_top_k(const int32_t *norms, int32_t rows, int32_t keep, uint32_t u,
                     kg_kept_t *kept) {
    int32_t last = 0;
    int32_t bit = 1;
    (void)u;
    while (count_from(norms, rows, 2 * bit) >= keep) {
        bit *= 2;
    }
    for (; bit > 0; bit /= 2) {
        if (count_from(norms, rows, last + bit) >= keep) {
            last += bit;
        }
    }
    int32_t equal = keep - count_from(norms, rows, last + 1);
    start(kept, 0);
    for (int32_t j = 0; j < rows; j++) {
        if (norms[j] > last || (norms[j] == last && norms[j] > 0 && equal-- > 0)) {
            append(kept, j, 1);
        }
    }
}

// max(1, floor(min(lambda_min + eps (lambda_max - lambda_min), 1) rows)), eps the loss over the
// largest one so far: equation 9, read so that fewer rows learn while the loss falls.
static int32_t rows_to_keep(const kg_select_t *how, kg_training_t *training) {
    training->largest_loss = kg_maxf(training->largest_loss, training->loss);
    float eps = training->loss / training->largest_loss;
    eps = eps >= 0.0f && eps <= 1.0f ? eps : 1.0f;  // 1 also where both are 0
    float share = how->lambda_min + eps * (how->lambda_max - how->lambda_min);
    int32_t keep = (int32_t)(kg_minf(share, 1.0f) * (float)how->rows);
    return keep < 1 ? 1 : keep;
}

static void keep_all(const int32_t *norms, int32_t rows, kg_kept_t *kept) {
    start(kept, 0);
    for (int32_t j = 0; j < rows; j++) {
        if (norms[j] > 0) {
            append(kept, j, 1);
        }
    }
}

static void choose(const kg_select_t *how, const kg_training_t *training, int32_t keep) {
    if (keep >= how->rows) {
        keep_all(how->norms, how->rows, how->kept);
    } else {
        uint32_t u =
            kg_dither_start(training->seed, how->stream + SELECT_STREAM, training->samples);
        how->choose(how->norms, how->rows, keep, u, how->kept);
    }
    how->tally->kept += (uint32_t)how->kept->count;
    how->tally->rows += (uint32_t)how->rows;
}

// Whether sums of errors times their factors, in units of 1/8, could leave 30 bits. A sum is at
// most 255 S, S = sum of norm * factor over the kept rows. Let t = unit, r = rest, w = want in
// unit_of.
// - Rows with factor 8 are kept for sure and add at most 8 total.
// - Another row has t / norm >= 8.5, so its factor, rounded or cut to 256, gives norm * factor <=
//   18/17 t < 8/7 t + 1, and p <= 17/16 * 8 norm / t or p = 1/32. The comb keeps at most 1 + sum p
//   of them: sum p <= 17/16 * 8 r / t + rows / 32, and 8 r < (t + 1) w. For t >= 16 that is at most
//   8/7 w + rows / 32; for a smaller t all norms of these rows are 1, their factors are exact, and
//   sum p <= 10/9 w + rows / 32 holds too.
// Before the sums: a layer that is too large for one sample is dense for it, whatever u is, so that
// nothing gets a bias.
static int overflows(const int32_t *norms, int32_t rows, int32_t keep) {
    uint32_t limit = LARGEST_SUM / LARGEST_WEIGHT;
    uint32_t total = total_of(norms, rows);
    if (total >= limit / LEAST_FACTOR) {
        return 1;
    }
    uint64_t one = (uint64_t)unit_of(norms, rows, keep) * 8 / 7 + 1;
    uint64_t most = (uint64_t)keep * 8 / 7 + (uint64_t)rows / 32 + 3;
    return one * most + total * LEAST_FACTOR > limit;
}

// A row of one error needs no call.
static void sum_rows_u8(const kg_select_u8_t *a) {
    int32_t positions = a->how.positions;
    const uint8_t *e = a->e;
    for (int32_t j = 0; j < a->how.rows; j++, e += positions) {
        int32_t error = *e - KG_ERROR_ZERO;
        a->how.norms[j] = positions > 1 ? a->norm(e, positions) : error < 0 ? -error : error;
    }
}

void kg_step_select_u8(const void *args, kg_training_t *training) {
    const kg_select_u8_t *a = args;
    sum_rows_u8(a);
    int32_t keep = rows_to_keep(&a->how, training);
    if (a->how.choose == kg_select_proportional && overflows(a->how.norms, a->how.rows, keep)) {
        keep = a->how.rows;
    }
    choose(&a->how, training, keep);
}

// Sums of |e|, and their sum.
static float sum_rows(const kg_select_f32_t *a) {
    const float *e = a->e;
    float total = 0.0f;
    for (int32_t j = 0; j < a->how.rows; j++) {
        float sum = 0.0f;
        for (int32_t i = 0; i < a->how.positions; i++, e++) {
            sum += *e < 0.0f ? -*e : *e;
        }
        a->sums[j] = sum;
        total += sum;
    }
    return total;
}

// Norms as whole numbers, with the same total for every sample; a row with an error has at least 1.
void kg_step_select_f32(const void *args, kg_training_t *training) {
    const kg_select_f32_t *a = args;
    float total = sum_rows(a);
    int plain = total > 0x1p-100f && total < 0x1p+100f;
    float unit = NORM_TOTAL / total;
    for (int32_t j = 0; j < a->how.rows; j++) {
        int32_t norm = plain ? (int32_t)(a->sums[j] * unit) : 0;
        a->how.norms[j] = norm > 0 ? norm : a->sums[j] != 0.0f;
    }
    int32_t keep = rows_to_keep(&a->how, training);
    choose(&a->how, training, plain ? keep : a->how.rows);
}
