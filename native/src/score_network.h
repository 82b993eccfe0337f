/* Models with a network on top, a part of score_template.h: some rows at a time, so that the weights of a layer are read once for all
 * of them.
 *
 * First the embedding q of each field is put where the network takes it, row by row, zeros where there is none. With S the sum of those
 * before it, S ∘ q is added to the products of all pairs, and then q to S. Then come the layers, in tiles of some rows by some panels of
 * outputs, whose sums are in registers. Each number is summed up in one order, whatever the rows beside it: a row has one prediction. */

#include "network.h"
#include "status.h"

#include <stdlib.h>

enum {
    STACK_FLOATS = 12288, /* where these are enough for a few rows, nothing is allocated */
    MOST_FLOATS = 1 << 20, /* of what is allocated, as long as that is enough for a row */
    MOST_TOGETHER = 32, /* rows */
    FEWEST_TOGETHER = 4
};

#ifdef FMC_WIDE
enum { TILE_LANES = 16, TILE_ROWS = 4, TILE_PANELS = 2, LINE_PANELS = 8 };
typedef floats16 tile_floats;
typedef floats16_at tile_floats_at;
INLINE tile_floats tile_fma(tile_floats a, tile_floats b, tile_floats c) { return fma16(a, b, c); }
#elif defined(FMC_FOUR_LANES)
enum { TILE_LANES = 4, TILE_ROWS = 2, TILE_PANELS = 1, LINE_PANELS = 2 };
typedef float tile_floats __attribute__((vector_size(16)));
typedef tile_floats tile_floats_at __attribute__((aligned(4), may_alias));
INLINE tile_floats tile_fma(tile_floats a, tile_floats b, tile_floats c) { return a * b + c; }
#else
enum { TILE_LANES = LANES, TILE_ROWS = 4, TILE_PANELS = 1, LINE_PANELS = 4 };
typedef floats8 tile_floats;
typedef floats8_at tile_floats_at;
INLINE tile_floats tile_fma(tile_floats a, tile_floats b, tile_floats c) { return fma8(a, b, c); }
#endif
enum { TILE_PARTS = FMC_PANEL / TILE_LANES, MOST_TILE = 8 };

/* What rows take while they are scored: places in one stretch of memory, strides in floats. */
typedef struct {
    size_t rows; /* together */
    size_t vector; /* an embedding, filled up to whole vectors */
    size_t input_stride, hidden_stride;
    float *sums, *pairs, *value, *own; /* a vector each */
    float *logits, *inputs, *hidden[2]; /* of each row */
} network_scratch;

/* Writes the embedding of a category, filled up with zeros to whole vectors, and returns its linear weight. `bytes` is a constant. */
INLINE float read_numbers(row_state *state, const fmc_tier_plan *plan, uint64_t place, float *to, uint32_t bytes)
{
    uint32_t dim = state->batch->model->dim, vectors = (dim + LANES - 1) / LANES;
    const float *scales = bytes == 1 ? plan->scales : NULL;
    if (plan->way == FMC_PARTS) {
        for (state->start = 0; state->start < dim; state->start += FMC_BLOCK) {
            state->end = state->start + FMC_BLOCK < dim ? state->start + FMC_BLOCK : dim;
            state->vectors = (state->end - state->start + LANES - 1) / LANES;
            put_together(state, state->found.parts, plan, place);
            for (uint32_t v = 0; v < state->vectors; v++)
                *(floats8_at *)(to + state->start + LANES * v) =
                    vector_at(state->found.parts + v * LANES * bytes, bytes == 1 ? scales + state->start : NULL, v, bytes);
        }
    } else if (plan->way == FMC_CODED || plan->way == FMC_SHORT) {
        find_codewords(state->coded.at, plan, place, vectors, LANES * bytes);
        for (uint32_t v = 0; v < vectors; v++) *(floats8_at *)(to + LANES * v) = vector_at(state->coded.at[v], scales, v, bytes);
    } else {
        const uint8_t *row = plan->rows + place * plan->stride;
        for (uint32_t v = 0; v < vectors; v++) *(floats8_at *)(to + LANES * v) = vector_at(row + v * LANES * bytes, scales, v, bytes);
    }
    return linear_weight(plan, place, bytes);
}

/* The same of a category of any tier. */
static float read_category(row_state *state, const fmc_step *step, uint64_t place, float *to)
{
    const fmc_tier_plan *tier = step->field->tiers;
    if (step->field->directory != NULL) tier += find_tier(step->field, place, &place);
    switch (tier->number_bytes) {
    case 1: return read_numbers(state, tier, place, to, 1);
    case 2: return read_numbers(state, tier, place, to, 2);
    default: return read_numbers(state, tier, place, to, 4);
    }
}

/* Writes what the values of a bag are pooled into, and adds their linear weights; false where one is wrong. */
static bool read_bag(row_state *state, const fmc_step *step, const fmc_bag *bag, network_scratch *scratch, float *to, float *linear)
{
    const fmc_pooling *pooling = state->batch->model->ids[step->id].pooling;
    size_t first = (size_t)bag->starts[state->row], last = (size_t)bag->starts[state->row + 1], count = 0;
    bool wide = state->batch->wide;
    float weights = 0;
    int64_t beside = fmc_id_at(state->ids, step->id, wide);
    if ((beside != -1 && beside != step->pad) || first > last || last > bag->count) return false;
    memset(to, 0, scratch->vector * sizeof *to);
    for (size_t at = first; at < last; at++) {
        if (step->far && bag->count - at > VALUES_AHEAD) fetch_value(step, bag->ids, at + VALUES_AHEAD, wide);
        float weight = bag->weights == NULL ? 1 : bag->weights[at];
        int64_t id = fmc_id_at(bag->ids, at, wide);
        if (!(fabsf(weight) <= FLT_MAX)) return false;
        if (id == -1 || id == step->pad) continue;
        if ((uint64_t)id >= (uint64_t)step->cardinality) return false;
        weights += weight * read_category(state, step, (uint64_t)id, scratch->value);
        for (size_t i = 0; i < scratch->vector; i++) to[i] += weight * scratch->value[i];
        count++;
    }
    if (count == 0) return true;
    float scale = scale_of(pooling->embedding, count);
    for (size_t i = 0; i < scratch->vector; i++) to[i] *= scale;
    *linear += weights * scale_of(pooling->linear, count);
    return true;
}

/* Adds the products of an embedding with all before it. */
INLINE void add_pairs(network_scratch *scratch, const float *q)
{
    for (size_t at = 0; at < scratch->vector; at += LANES) {
        floats8 own = *(const floats8_at *)(q + at), sums = *(const floats8_at *)(scratch->sums + at);
        *(floats8_at *)(scratch->pairs + at) = fma8(sums, own, *(const floats8_at *)(scratch->pairs + at));
        *(floats8_at *)(scratch->sums + at) = sums + own;
    }
}

/* Puts the values of numeric fields where a row's inputs go on; false where one is wrong. */
static bool take_values(row_state *state, network_scratch *scratch, float *inputs, float *logit)
{
    const fmc_model *model = state->batch->model;
    const double *values = state->batch->values + state->row * model->numeric_count;
    bool concatenated = model->network->entry.concatenated;
    double linear = 0;
    if (!values_are_fine(values, model->numeric_count)) return false;
    for (size_t j = 0; j < model->numeric_count; j++) {
        double x = isnan(values[j]) ? 0 : values[j];
        const float *v = model->numeric[j].embedding;
        linear += x * (double)model->numeric[j].linear;
        if (v == NULL) continue;
        float *q = concatenated ? inputs : scratch->own;
        for (size_t i = 0; i < scratch->vector; i++) q[i] = (float)(x * (double)v[i]); /* zeros behind v are filled up with */
        add_pairs(scratch, q);
        if (concatenated) inputs += model->dim;
    }
    if (!concatenated) inputs += model->dim;
    for (size_t j = 0; j < model->numeric_count; j++)
        if (model->numeric[j].embedding == NULL) *inputs++ = isnan(values[j]) ? 0 : (float)values[j];
    *logit = (float)((double)*logit + linear);
    return true;
}

/* Puts the inputs of a row where the network takes them, and the other terms of its logit; false where an id or a value is wrong. What
 * an embedding is filled up with lies where the next one will be. */
static bool take_row(row_state *state, network_scratch *scratch, float *inputs, float *logit)
{
    const fmc_batch *batch = state->batch;
    const fmc_model *model = batch->model;
    const fmc_network_entry *entry = &model->network->entry;
    const fmc_step *step = model->plan->in_order;
    float *at = inputs;
    bool fine = true;
    *logit = model->bias;
    memset(scratch->sums, 0, scratch->vector * sizeof(float));
    memset(scratch->pairs, 0, scratch->vector * sizeof(float));
    for (size_t id = 0; id < model->id_count; id++, step++) {
        float *q = entry->concatenated ? at : scratch->own;
        uint64_t place;
        if (batch->bags != NULL && batch->bags[id].starts != NULL) {
            if (!read_bag(state, step, &batch->bags[id], scratch, q, logit)) return false;
        } else if (has_category(step, state->ids, batch->wide, &place, &fine)) {
            *logit += read_category(state, step, place, q);
        } else {
            if (!fine) return false;
            memset(q, 0, scratch->vector * sizeof *q);
        }
        add_pairs(scratch, q);
        if (entry->concatenated) at += model->dim;
    }
    if (model->numeric_count != 0 && !take_values(state, scratch, at, logit)) return false;
    float total = 0;
    for (size_t i = 0; i < model->dim; i++) total += scratch->pairs[i];
    if (entry->pairwise) *logit += total;
    if (!entry->concatenated) memcpy(inputs, scratch->pairs, model->dim * sizeof(float));
    return true;
}

/* Computes W x + b of some rows and panels, both constants. */
INLINE void dense_tile(const fmc_layer *layer, size_t panel, const float *x, size_t x_stride, float *y, size_t y_stride, uint32_t rows,
                       uint32_t panels)
{
    tile_floats sums[MOST_TILE * TILE_PARTS];
    const float *weights = layer->weights + panel * FMC_PANEL * layer->inputs;
    uint32_t parts = panels * TILE_PARTS;
    for (uint32_t part = 0; part < parts; part++)
        for (uint32_t row = 0; row < rows; row++)
            sums[row * parts + part] = *(const tile_floats_at *)(layer->bias + panel * FMC_PANEL + part * TILE_LANES);
    for (size_t input = 0; input < layer->inputs; input++)
        for (uint32_t part = 0; part < parts; part++) {
            const float *at = weights + (part / TILE_PARTS * layer->inputs + input) * FMC_PANEL + part % TILE_PARTS * TILE_LANES;
            tile_floats own = *(const tile_floats_at *)at;
            for (uint32_t row = 0; row < rows; row++)
                sums[row * parts + part] = tile_fma(own, x[row * x_stride + input] - (tile_floats){0}, sums[row * parts + part]);
        }
    for (uint32_t part = 0; part < parts; part++)
        for (uint32_t row = 0; row < rows; row++)
            *(tile_floats_at *)(y + row * y_stride + panel * FMC_PANEL + part * TILE_LANES) = sums[row * parts + part];
}

static void dense_panels(const fmc_layer *layer, const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows)
{
    size_t panels = layer->width / FMC_PANEL, together = rows / TILE_ROWS * TILE_ROWS, panel = 0;
    for (; panel + TILE_PANELS <= panels; panel += TILE_PANELS)
        for (size_t row = 0; row < together; row += TILE_ROWS)
            dense_tile(layer, panel, x + row * x_stride, x_stride, y + row * y_stride, y_stride, TILE_ROWS, TILE_PANELS);
    for (; panel < panels; panel++)
        for (size_t row = 0; row < together; row += TILE_ROWS)
            dense_tile(layer, panel, x + row * x_stride, x_stride, y + row * y_stride, y_stride, TILE_ROWS, 1);
    for (size_t row = together; row < rows; row++) {
        for (panel = 0; panel + LINE_PANELS <= panels; panel += LINE_PANELS)
            dense_tile(layer, panel, x + row * x_stride, x_stride, y + row * y_stride, y_stride, 1, LINE_PANELS);
        for (; panel < panels; panel++)
            dense_tile(layer, panel, x + row * x_stride, x_stride, y + row * y_stride, y_stride, 1, 1);
    }
}

static float dot_product(const float *a, const float *b, size_t count)
{
    floats8 sums = {0};
    size_t at = 0;
    for (; at + LANES <= count; at += LANES) sums = fma8(*(const floats8_at *)(a + at), *(const floats8_at *)(b + at), sums);
    float rest = 0;
    for (; at < count; at++) rest += a[at] * b[at];
    return total8(sums) + rest;
}

/* Numbers that are none stay none. */
static void activate(float *y, size_t count, fmc_activation activation)
{
    switch (activation) {
    case FMC_RELU:
        for (size_t i = 0; i < count; i++) y[i] = y[i] < 0 ? 0 : y[i];
        break;
    case FMC_LEAKY_RELU:
        for (size_t i = 0; i < count; i++) y[i] = y[i] > 0 ? y[i] : 0.01F * y[i];
        break;
    case FMC_LOGISTIC:
        for (size_t i = 0; i < count; i++) {
            float small = expf(-fabsf(y[i])); /* of what is negative: it cannot overflow */
            y[i] = (y[i] >= 0 ? 1.0F : small) / (1.0F + small);
        }
        break;
    case FMC_TANH:
        for (size_t i = 0; i < count; i++) y[i] = tanhf(y[i]);
        break;
    case FMC_ELU:
        for (size_t i = 0; i < count; i++) y[i] = y[i] > 0 ? y[i] : expm1f(y[i]);
        break;
    case FMC_LINEAR: break;
    }
}

/* Takes the inputs of rows through all layers; returns where the one number of each row is, `hidden_stride` apart. */
static const float *through_layers(const fmc_network *network, network_scratch *scratch, size_t rows)
{
    const float *x = scratch->inputs;
    size_t x_stride = scratch->input_stride, y_stride = scratch->hidden_stride;
    for (uint32_t number = 0; number < network->entry.layer_count; number++) {
        const fmc_layer *layer = &network->layers[number];
        float *y = scratch->hidden[number % 2];
        if (layer->outputs < FMC_FEW_OUTPUTS) {
            for (size_t row = 0; row < rows; row++)
                for (size_t output = 0; output < layer->outputs; output++)
                    y[row * y_stride + output] = layer->bias[output] + dot_product(layer->weights + output * layer->inputs,
                                                                                     x + row * x_stride, layer->inputs);
        } else {
            dense_panels(layer, x, x_stride, y, y_stride, rows);
        }
        for (size_t row = 0; row < rows; row++) activate(y + row * y_stride, layer->outputs, layer->activation);
        x = y;
        x_stride = y_stride;
    }
    return x;
}

static size_t filled_up(size_t count) { return (count + LANES - 1) / LANES * LANES; }

/* Floats that some rows take together. */
static size_t floats_of(const network_scratch *scratch, size_t rows)
{
    return 4 * scratch->vector + rows * (1 + scratch->input_stride + 2 * scratch->hidden_stride);
}

/* Finds out how many rows are scored together, and how much memory these take. */
static size_t size_scratch(const fmc_model *model, size_t rows, network_scratch *scratch)
{
    size_t most = rows < MOST_TOGETHER ? rows : MOST_TOGETHER, fewest = rows < FEWEST_TOGETHER ? rows : FEWEST_TOGETHER;
    scratch->vector = filled_up(model->dim);
    scratch->input_stride = filled_up((size_t)model->network->inputs + LANES);
    scratch->hidden_stride = model->network->widest;
    for (scratch->rows = most; scratch->rows > fewest && floats_of(scratch, scratch->rows) > STACK_FLOATS;) scratch->rows--;
    if (floats_of(scratch, scratch->rows) > STACK_FLOATS)
        for (scratch->rows = most; scratch->rows > 1 && floats_of(scratch, scratch->rows) > MOST_FLOATS;) scratch->rows--;
    if (scratch->rows > TILE_ROWS) scratch->rows -= scratch->rows == rows ? 0 : scratch->rows % TILE_ROWS;
    return floats_of(scratch, scratch->rows);
}

static void place_scratch(network_scratch *scratch, float *at)
{
    scratch->sums = at;
    scratch->pairs = at + scratch->vector;
    scratch->value = at + 2 * scratch->vector;
    scratch->own = at + 3 * scratch->vector;
    scratch->inputs = at + 4 * scratch->vector;
    scratch->hidden[0] = scratch->inputs + scratch->rows * scratch->input_stride;
    scratch->hidden[1] = scratch->hidden[0] + scratch->rows * scratch->hidden_stride;
    scratch->logits = scratch->hidden[1] + scratch->rows * scratch->hidden_stride;
}

static fmc_status score_together(row_state *state, network_scratch *scratch, size_t first, size_t last, char *message)
{
    const fmc_batch *batch = state->batch;
    const fmc_model *model = batch->model;
    fetch_row(batch, first);
    for (; first < last; first += scratch->rows) {
        size_t rows = last - first < scratch->rows ? last - first : scratch->rows;
        for (size_t at = 0; at < rows; at++) {
            state->row = first + at;
            state->ids = fmc_ids_of(batch, state->row);
            if (state->row + AHEAD < last) fetch_row(batch, state->row + AHEAD);
            if (!take_row(state, scratch, scratch->inputs + at * scratch->input_stride, &scratch->logits[at]))
                return fmc_wrong_row(batch, state->row, state->row + 1, message);
        }
        const float *found = through_layers(model->network, scratch, rows);
        for (size_t at = 0; at < rows; at++)
            batch->predictions[first + at] = scratch->logits[at] + found[at * scratch->hidden_stride];
        fmc_apply_link(model, batch->predictions + first, rows);
    }
    return FMC_OK;
}

fmc_status FMC_SCORE_NETWORK(const fmc_batch *batch, size_t first, size_t last, char *message)
{
    float floats[STACK_FLOATS] __attribute__((aligned(64))), *allocated = NULL;
    network_scratch scratch;
    row_state state;
    size_t needed = size_scratch(batch->model, last - first, &scratch);
    if (needed > STACK_FLOATS) {
        allocated = malloc(needed * sizeof *allocated);
        if (allocated == NULL) return fmc_fail(FMC_NO_MEMORY, message, "memory is not enough");
    }
    place_scratch(&scratch, allocated != NULL ? allocated : floats);
    state.batch = batch;
    fmc_status status = score_together(&state, &scratch, first, last, message);
    free(allocated);
    return status;
}
