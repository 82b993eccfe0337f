/* Scoring rows. It is compiled once for each set of instructions; what differs is defined before it is included:
 *
 *     FMC_SCORE                     name of the function
 *     half8, int8x8                 8 numbers in fp16 or int8, as floats
 *     fma8                          a · b + c
 *     fmc_half1                     one number in fp16
 *     codewords                     addresses of the codewords that some codes name
 *     FMC_WIDE                      where there are vectors of 16 floats: half16, int8x16 (of two addresses), fma16, fold16
 *
 * With q_i the embedding of a row's category in field i, its logit is w_0 + Σ_i w_i + ½ (‖Σ_i q_i‖² − Σ_i ‖q_i‖²).
 * It is computed row by row, with the sums in registers, while the codes of a row further on are fetched. Fields that are looked up
 * in the same way follow each other: so there is hardly a branch, and a processor has the codewords of many fields under way at
 * once, wherever they lie. Fields in an unusual way are written down as addresses first, and added after that.
 */

#include "bits.h"
#include "plan.h"
#include "score.h"

#include <float.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    AHEAD = 2, /* rows between fetching and use */
    LANES = FMC_LANES,
    MOST_VECTORS = 1024, /* of the embeddings that are added at once, whatever they are stored in */
    MOST_FIELDS = 64,
    ROWS = 128 /* between two applications of the link */
};

typedef floats8 floats8_at __attribute__((aligned(4), may_alias));
#ifdef FMC_WIDE
typedef floats16 floats16_at __attribute__((aligned(4), may_alias));
#endif

/* Embeddings as addresses of vectors of 8 numbers, field after field. */
typedef struct {
    const uint8_t *half[MOST_VECTORS + FMC_TOGETHER], *int8[MOST_VECTORS + FMC_TOGETHER];
    const float *scales[MOST_FIELDS]; /* of those in int8 */
    uint32_t half_count, int8_count;
    uint8_t parts[MOST_VECTORS * LANES * 2] __attribute__((aligned(64)));
} found_rows;

/* A row, and the sums of a block of its coordinates. */
typedef struct {
    float sums[FMC_BLOCK] __attribute__((aligned(64)));
    floats8 norm; /* Σ ‖q‖² */
    float linear; /* Σ w */
    uint32_t start, end, vectors; /* the block's coordinates, and the vectors that they fill */
    const fmc_batch *batch;
    size_t row;
    found_rows found;
} row_state;

INLINE int64_t id_of(const fmc_batch *batch, size_t row, size_t id, bool wide)
{
    size_t at = row * batch->model->id_count + id;
    return wide ? ((const int64_t *)batch->ids)[at] : ((const int32_t *)batch->ids)[at];
}

/* Returns the tier of a category, and its place in it. */
INLINE uint32_t find_tier(const fmc_field_plan *plan, uint64_t id, uint64_t *place)
{
    const fmc_field *field = plan->field;
    uint64_t bit = id * field->tier_bits, word = bit >> 6;
    uint64_t bits = fmc_load64(field->tier_stream + 8 * word, field->tier_stream + field->tier_bytes);
    uint64_t tier = (bits >> (bit & 63)) & ((UINT64_C(1) << field->tier_bits) - 1);
    uint64_t before = fmc_matching(bits, tier, field->tier_bits) & ((UINT64_C(1) << (bit & 63)) - 1);
    *place = plan->before[word * field->tier_count + tier] + (uint64_t)__builtin_popcountll(before);
    return (uint32_t)tier;
}

/* The bits of a row of codes, from one of them on. */
INLINE uint64_t code_bits(const fmc_tier_plan *plan, uint64_t place, uint64_t skip)
{
    uint64_t bit = place * plan->row_bits + skip;
    const uint8_t *at = plan->codes + (bit >> 3);
    if (__builtin_expect(at > plan->codes_last, 0)) return fmc_load64(at, plan->codes_end) >> (bit & 7);
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word >> (bit & 7);
}

INLINE void fetch(const void *at) { __builtin_prefetch(at); }

/* Fetches what a row will need; an id out of range is left for those who use it. */
INLINE void fetch_row(const fmc_batch *batch, size_t row, bool wide)
{
    const fmc_plan *plan = batch->model->plan;
    for (uint32_t i = 0; i < plan->fetch_count; i++) {
        const fmc_fetch *one = &plan->fetches[i];
        uint64_t place = (uint64_t)id_of(batch, row, one->id, wide);
        if (place < one->cardinality) fetch(one->from + ((place * one->bits) >> 3));
    }
    for (uint32_t i = 0; i < plan->tiered_count; i++) {
        const fmc_step *step = &plan->steps[plan->tiered[i]];
        uint64_t place = (uint64_t)id_of(batch, row, step->id, wide);
        if (place >= (uint64_t)step->cardinality) continue;
        const fmc_tier_plan *tier = step->field->tiers + find_tier(step->field, place, &place);
        if (tier->row_bits != 0) fetch(tier->codes + ((place * tier->row_bits) >> 3));
        if (tier->stride != 0) fetch(tier->rows + place * tier->stride);
        if (tier->linear_stride != 0) fetch(tier->linear + place * tier->linear_stride);
    }
}

/* Copies a few bytes; most codewords are one word long. */
INLINE void copy_bytes(uint8_t *to, const uint8_t *from, uint64_t bytes)
{
    switch (bytes) {
    case 1: *to = *from; break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    case 8: memcpy(to, from, 8); break;
    case 16: memcpy(to, from, 16); break;
    default: memcpy(to, from, bytes);
    }
}

/* Puts the block's coordinates of a row together, filled up with zeros to whole vectors. */
static void put_together(const row_state *state, uint8_t *to, const fmc_tier_plan *plan, uint64_t place)
{
    uint64_t number_bytes = plan->int8 ? 1 : 2, start = state->start * number_bytes, stop = state->end * number_bytes, at = 0;
    memset(to + (stop - start), 0, state->vectors * LANES * number_bytes - (stop - start));
    if (plan->groups == NULL) {
        memcpy(to, plan->rows + place * plan->stride + start, stop - start);
        return;
    }
    for (uint32_t d = 0; d < plan->subspaces && at < stop; d += FMC_TOGETHER) {
        const fmc_group *group = &plan->groups[d / FMC_TOGETHER];
        const uint8_t *words[FMC_TOGETHER];
        codewords(words, group, code_bits(plan, place, group->bit));
        for (uint32_t i = 0; i < FMC_TOGETHER && d + i < plan->subspaces; i++) {
            uint64_t bytes = group->bytes[i], next = at + bytes;
            if (at >= start && next <= stop) {
                copy_bytes(to + (at - start), words[i], bytes);
            } else if (next > start && at < stop) {
                uint64_t from = at < start ? start : at, until = next < stop ? next : stop;
                memcpy(to + (from - start), words[i] + (from - at), until - from);
            }
            at = next;
        }
    }
}

INLINE float number_at(const uint8_t *at, float scale, bool int8) { return int8 ? (float)(int8_t)*at * scale : fmc_half1(at); }

INLINE float linear_weight(const fmc_tier_plan *plan, uint64_t place, bool int8)
{
    uint64_t code = code_bits(plan, place, plan->linear_bit) & plan->linear_mask;
    const uint8_t *at = plan->linear + place * plan->linear_stride + code * plan->linear_bytes;
    return number_at(at, plan->linear_scale, int8);
}

INLINE float total8(floats8 x) { return ((x[0] + x[4]) + (x[1] + x[5])) + ((x[2] + x[6]) + (x[3] + x[7])); }

/* Sums of vectors in registers, where their number is a constant. */
typedef struct {
#ifdef FMC_WIDE
    floats16 wide[FMC_BLOCK / LANES / 2], wide_norm;
#endif
    floats8 narrow[FMC_BLOCK / LANES], norm;
} registers;

INLINE void load_sums(registers *own, const row_state *state, uint32_t vectors)
{
    uint32_t v = 0;
    own->norm = state->norm;
#ifdef FMC_WIDE
    own->wide_norm = (floats16){0};
    for (; v + 1 < vectors; v += 2) own->wide[v / 2] = *(const floats16_at *)(state->sums + LANES * v);
#endif
    for (; v < vectors; v++) own->narrow[v] = *(const floats8_at *)(state->sums + LANES * v);
}

INLINE void store_sums(const registers *own, row_state *state, uint32_t vectors)
{
    uint32_t v = 0;
    state->norm = own->norm;
#ifdef FMC_WIDE
    state->norm += fold16(own->wide_norm);
    for (; v + 1 < vectors; v += 2) *(floats16_at *)(state->sums + LANES * v) = own->wide[v / 2];
#endif
    for (; v < vectors; v++) *(floats8_at *)(state->sums + LANES * v) = own->narrow[v];
}

/* Adds one embedding. */
INLINE void add_vectors(registers *own, const uint8_t *const *at, const float *scales, uint32_t vectors, bool int8)
{
    uint32_t v = 0;
#ifdef FMC_WIDE
    for (; v + 1 < vectors; v += 2) {
        floats16 q = int8 ? int8x16(at[v], at[v + 1]) * *(const floats16_at *)(scales + LANES * v) : half16(at[v], at[v + 1]);
        own->wide[v / 2] += q;
        own->wide_norm = fma16(q, q, own->wide_norm);
    }
#endif
    for (; v < vectors; v++) {
        floats8 q = int8 ? int8x8(at[v]) * *(const floats8_at *)(scales + LANES * v) : half8(at[v]);
        own->narrow[v] += q;
        own->norm = fma8(q, q, own->norm);
    }
}

/* Adds one embedding that lies whole; its norm too, unless that is known. */
INLINE void add_row(registers *own, const uint8_t *at, const float *scales, uint32_t vectors, bool int8, bool normed)
{
    uint32_t v = 0, bytes = int8 ? LANES : 2 * LANES;
#ifdef FMC_WIDE
    for (; v + 1 < vectors; v += 2) {
        const uint8_t *from = at + v * bytes;
        floats16 q = int8 ? int8x16(from, from + LANES) * *(const floats16_at *)(scales + LANES * v) : half16(from, from + 2 * LANES);
        own->wide[v / 2] += q;
        if (!normed) own->wide_norm = fma16(q, q, own->wide_norm);
    }
#endif
    for (; v < vectors; v++) {
        floats8 q = int8 ? int8x8(at + v * bytes) * *(const floats8_at *)(scales + LANES * v) : half8(at + v * bytes);
        own->narrow[v] += q;
        if (!normed) own->norm = fma8(q, q, own->norm);
    }
}

/* Adds the categories of a run; false where an id is out of range. */
INLINE bool add_run(row_state *state, const fmc_run *run, fmc_way way, bool int8, uint32_t vectors, bool wide)
{
    const uint8_t *at[FMC_BLOCK / LANES + FMC_TOGETHER];
    const fmc_step *step = state->batch->model->plan->steps + run->first, *last = state->batch->model->plan->steps + run->last;
    registers own;
    load_sums(&own, state, vectors);
    float linear = 0;
    for (; step < last; step++) {
        int64_t category = id_of(state->batch, state->row, step->id, wide);
        uint64_t place = (uint64_t)category;
        if (__builtin_expect(place >= (uint64_t)step->cardinality, 0)) {
            if (category == -1) continue;
            return false;
        }
        if (category == step->pad) continue;
        const fmc_tier_plan *plan = &step->tier;
        if (way == FMC_SMALL || way == FMC_WHOLE) {
            add_row(&own, plan->rows + place * plan->stride, plan->scales, vectors, int8, way == FMC_SMALL);
            linear += way == FMC_SMALL ? plan->scalars[place] : linear_weight(plan, place, int8);
            continue;
        }
        if (way == FMC_SHORT) {
            uint64_t bits = code_bits(plan, place, 0);
            codewords(at, plan->groups, bits);
            linear += number_at(plan->linear + ((bits >> plan->linear_bit) & plan->linear_mask) * (int8 ? 1 : 2), plan->linear_scale, int8);
        } else {
            for (uint32_t d = 0; d < vectors; d += FMC_TOGETHER)
                codewords(at + d, plan->groups + d / FMC_TOGETHER, code_bits(plan, place, plan->groups[d / FMC_TOGETHER].bit));
            linear += linear_weight(plan, place, int8);
        }
        add_vectors(&own, at, plan->scales, vectors, int8);
    }
    store_sums(&own, state, vectors);
    state->linear += linear;
    return true;
}

/* One copy of the code for each usual number of vectors; only one where compiling takes long, as it does with sanitizers. */
#if defined(FMC_FEW_COPIES)
#define FMC_WITH_VECTORS(CALL) return CALL(state->vectors);
#else
#define FMC_WITH_VECTORS(CALL)          \
    switch (state->vectors) {           \
    case 1: return CALL(1);             \
    case 2: return CALL(2);             \
    case 4: return CALL(4);             \
    case 8: return CALL(8);             \
    default: return CALL(state->vectors); \
    }
#endif

INLINE bool add_usual(row_state *state, const fmc_run *run, fmc_way way, bool int8, bool wide)
{
#define FMC_RUN(V) add_run(state, run, way, int8, V, wide)
    FMC_WITH_VECTORS(FMC_RUN)
}

/* Notes where the vectors of a category's embedding are. */
INLINE void find_embedding(row_state *state, const fmc_tier_plan *plan, uint64_t place)
{
    found_rows *found = &state->found;
    uint32_t vectors = state->vectors, vector_bytes = plan->int8 ? LANES : 2 * LANES;
    const uint8_t **at = plan->int8 ? found->int8 + found->int8_count * vectors : found->half + found->half_count * vectors;
    if (plan->way == FMC_CODED || plan->way == FMC_SHORT) {
        for (uint32_t d = 0; d < vectors; d += FMC_TOGETHER)
            codewords(at + d, plan->groups + d / FMC_TOGETHER, code_bits(plan, place, plan->groups[d / FMC_TOGETHER].bit));
    } else {
        const uint8_t *row = plan->rows + place * plan->stride;
        if (plan->way == FMC_PARTS) {
            uint8_t *parts = found->parts + (found->half_count + found->int8_count) * vectors * 2 * LANES;
            put_together(state, parts, plan, place);
            row = parts;
        }
        for (uint32_t v = 0; v < vectors; v++) at[v] = row + v * vector_bytes;
    }
    if (plan->int8)
        found->scales[found->int8_count++] = plan->scales + state->start;
    else
        found->half_count++;
}

/* Notes where some categories are; false where an id is out of range. */
INLINE bool find_some(row_state *state, uint32_t first, uint32_t last, bool wide)
{
    const fmc_step *steps = state->batch->model->plan->steps;
    state->found.half_count = state->found.int8_count = 0;
    for (const fmc_step *step = steps + first; step < steps + last; step++) {
        int64_t category = id_of(state->batch, state->row, step->id, wide);
        if (category == step->pad || category == -1) continue;
        uint64_t place = (uint64_t)category;
        if (place >= (uint64_t)step->cardinality) return false;
        const fmc_tier_plan *tier = step->field->tiers;
        if (step->field->before != NULL) tier += find_tier(step->field, place, &place);
        find_embedding(state, tier, place);
        if (state->start == 0) state->linear += linear_weight(tier, place, tier->int8);
    }
    return true;
}

/* Adds the embeddings that were noted. */
INLINE bool add_noted(row_state *state, uint32_t vectors)
{
    const found_rows *found = &state->found;
    registers own;
    load_sums(&own, state, vectors);
    for (uint32_t i = 0; i < found->half_count; i++) add_vectors(&own, found->half + i * vectors, NULL, vectors, false);
    for (uint32_t i = 0; i < found->int8_count; i++) add_vectors(&own, found->int8 + i * vectors, found->scales[i], vectors, true);
    store_sums(&own, state, vectors);
    return true;
}

static bool add_found(row_state *state)
{
#define FMC_NOTED(V) add_noted(state, V)
    FMC_WITH_VECTORS(FMC_NOTED)
}

static bool add_unusual(row_state *state, const fmc_run *run, bool wide)
{
    uint32_t most = MOST_VECTORS / state->vectors < MOST_FIELDS ? MOST_VECTORS / state->vectors : MOST_FIELDS;
    for (uint32_t first = run->first; first < run->last; first += most) {
        uint32_t last = run->last - first < most ? run->last : first + most;
        if (!find_some(state, first, last, wide)) return false;
        add_found(state);
    }
    return true;
}

INLINE bool add_categories(row_state *state, bool wide)
{
    const fmc_plan *plan = state->batch->model->plan;
    for (uint32_t i = 0; i < plan->run_count; i++) {
        const fmc_run *run = &plan->runs[i];
        bool fine = false;
#define FMC_WAY(WAY) case WAY: fine = run->int8 ? add_usual(state, run, WAY, true, wide) : add_usual(state, run, WAY, false, wide); break;
        switch (run->way) {
            FMC_WAY(FMC_SMALL)
            FMC_WAY(FMC_WHOLE)
            FMC_WAY(FMC_SHORT)
            FMC_WAY(FMC_CODED)
        case FMC_PARTS: fine = add_unusual(state, run, wide);
        }
        if (!fine) return false;
    }
    return true;
}

/* Adds what the numeric fields of a row contribute to its logit, in doubles: of values of any size, the squares cancel each other.
 *
 *     Σ_j x_j w_j + S · S_n + ½ (‖S_n‖² − Σ_j x_j² ‖v_j‖²),  with S the sums of the categories and S_n = Σ_j x_j v_j
 */
static double numeric_part(const row_state *state, const fmc_model *model, const double *values)
{
    double own[FMC_BLOCK] = {0}, linear = 0, norms = 0, both = 0, squares = 0;
    uint32_t size = state->end - state->start;
    const double *norm = model->plan->norms + state->start / FMC_BLOCK * model->numeric_count;
    for (size_t j = 0; j < model->numeric_count; j++) {
        double x = isnan(values[j]) ? 0 : values[j];
        const float *v = model->numeric[j].embedding;
        if (state->start == 0) linear += x * (double)model->numeric[j].linear;
        if (v == NULL || x == 0) continue;
        norms += x * x * norm[j];
        for (uint32_t i = 0; i < size; i++) own[i] += x * (double)v[state->start + i];
    }
    for (uint32_t i = 0; i < size; i++) {
        both += (double)state->sums[i] * own[i];
        squares += own[i] * own[i];
    }
    return linear + both + 0.5 * (squares - norms);
}

static bool values_are_fine(const double *values, size_t count)
{
    bool fine = true;
    for (size_t i = 0; i < count; i++) fine &= isnan(values[i]) || fabs(values[i]) <= (double)FLT_MAX;
    return fine;
}

/* Adds a block of coordinates to the logit, and all that has none where it is the first one; false where an id is wrong. */
INLINE bool score_block(row_state *state, bool wide, float *logit)
{
    const fmc_model *model = state->batch->model;
    floats8 zero = {0}, norm;
    for (uint32_t v = 0; v < state->vectors; v++) *(floats8_at *)(state->sums + LANES * v) = zero;
    state->norm = zero;
    state->linear = 0;
    if (!add_categories(state, wide)) return false;
    norm = -state->norm;
    for (uint32_t v = 0; v < state->vectors; v++) {
        floats8 x = *(const floats8_at *)(state->sums + LANES * v);
        norm = fma8(x, x, norm);
    }
    *logit += state->linear + 0.5F * total8(norm);
    if (model->numeric_count != 0)
        *logit += (float)numeric_part(state, model, state->batch->values + state->row * model->numeric_count);
    return true;
}

/* Writes the logit of a row; false where an id or a value is wrong. */
INLINE bool score_row(row_state *state, bool wide)
{
    const fmc_batch *batch = state->batch;
    uint32_t dim = batch->model->dim;
    size_t numeric = batch->model->numeric_count;
    if (numeric != 0 && !values_are_fine(batch->values + state->row * numeric, numeric)) return false;
    float logit = batch->model->bias;
    for (uint32_t start = 0; start < dim; start += FMC_BLOCK) {
        state->start = start;
        state->end = start + FMC_BLOCK < dim ? start + FMC_BLOCK : dim;
        state->vectors = (state->end - start + LANES - 1) / LANES;
        if (!score_block(state, wide, &logit)) return false;
    }
    batch->predictions[state->row] = logit;
    return true;
}

INLINE fmc_status score_all(row_state *state, size_t first, size_t last, bool wide, char *message)
{
    const fmc_batch *batch = state->batch;
    for (size_t row = first; row < first + AHEAD && row < last; row++) fetch_row(batch, row, wide);
    for (size_t row = first; row < last; row++) {
        if (row + AHEAD < last) fetch_row(batch, row + AHEAD, wide);
        state->row = row;
        if (!score_row(state, wide)) return fmc_wrong_row(batch, row, row + 1, message);
        if ((row + 1 - first) % ROWS == 0) fmc_apply_link(batch->model, batch->predictions + row + 1 - ROWS, ROWS);
    }
    size_t rest = (last - first) % ROWS;
    fmc_apply_link(batch->model, batch->predictions + last - rest, rest);
    return FMC_OK;
}

fmc_status FMC_SCORE(const fmc_batch *batch, size_t first, size_t last, char *message)
{
    row_state state;
    state.batch = batch;
    if (batch->wide) return score_all(&state, first, last, true, message);
    return score_all(&state, first, last, false, message);
}
