/* Scoring rows. It is compiled once for each set of instructions; what differs is defined before it is included:
 *
 *     FMC_SCORE, FMC_SCORE_NETWORK  names of the functions, without and with a network on top
 *     half8, int8x8                 8 numbers in fp16 or int8, as floats; those in fp32 are read as they are
 *     fma8                          a · b + c
 *     fmc_half1                     one number in fp16
 *     codewords                     addresses of the codewords that some codes name; FMC_PLAIN_CODEWORDS takes the plain way
 *     FMC_FOUR_LANES                where registers have 4 floats: what networks sum up
 *     FMC_WIDE                      where there are vectors of 16 floats: half16, int8x16, float8x2 (of two addresses), fma16, fold16
 *
 * With q_i the embedding of a row's category in field i, its logit is w_0 + Σ_i w_i + ½ (‖Σ_i q_i‖² − Σ_i ‖q_i‖²).
 * It is computed row by row, with the sums in registers, while the codes of a row further on are fetched. Fields that are looked up
 * in the same way follow each other: so there is hardly a branch, and a processor has the codewords of many fields under way at
 * once, wherever they lie. Fields with several tiers are sorted by them first.
 */

#include "bits.h"
#include "plan.h"
#include "score.h"

#include <float.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    AHEAD = 1, /* rows between fetching and use */
    LANES = FMC_LANES,
    MOST_VECTORS = 512, /* of the embeddings that are put together at once */
    MOST_FIELDS = 64,
    ROWS = 128 /* between two applications of the link */
};

typedef floats8 floats8_at __attribute__((aligned(4), may_alias));
#ifdef FMC_WIDE
typedef floats16 floats16_at __attribute__((aligned(4), may_alias));
#endif

/* 8 numbers in fp32, at any address. */
static inline floats8 float8(const uint8_t *at)
{
    floats8 numbers;
    memcpy(&numbers, at, sizeof numbers);
    return numbers;
}

#ifdef FMC_PLAIN_CODEWORDS
/* Addresses of the codewords that the codes in some bits name. */
static inline void codewords(const uint8_t **at, const fmc_group *group, uint64_t bits)
{
    for (int i = 0; i < FMC_TOGETHER; i++)
        at[i] = (const uint8_t *)(uintptr_t)(group->table[i] + ((bits >> group->shift[i]) & group->mask[i]) * group->bytes[i]);
}
#endif

/* A category, by its tier. */
typedef struct {
    const fmc_tier_plan *tier;
    uint64_t place;
} found_category;

/* The categories of a row that are not looked up in a usual way, list by list: so the branches are few, whatever tiers they are in. */
typedef struct {
    found_category list[FMC_LISTS][MOST_FIELDS];
    uint32_t count[FMC_LISTS];
    uint8_t parts[(MOST_VECTORS + 1) * LANES * sizeof(float)] __attribute__((aligned(64))); /* with room for codes beyond the last one */
    float weight[FMC_LISTS][MOST_FIELDS]; /* of values of bags */
} found_rows;

/* Embeddings of which it is known where their vectors are. */
typedef struct {
    const uint8_t *at[MOST_VECTORS + FMC_BLOCK / LANES + FMC_TOGETHER];
    const float *scales[MOST_VECTORS];
    uint32_t count;
} coded_row;

/* A row, and the sums of a block of its coordinates. */
typedef struct {
    float sums[FMC_BLOCK] __attribute__((aligned(64))); /* where numeric fields need them */
    uint32_t start, end, vectors; /* the block's coordinates, and the vectors that they fill */
    const fmc_batch *batch;
    size_t row;
    const void *ids, *ids_ahead, *ids_beyond; /* of the row, and of two further on */
    found_rows found;
    coded_row coded;
} row_state;

/* Returns the tier of a category, and its place in it. */
INLINE uint32_t find_tier(const fmc_field_plan *plan, uint64_t id, uint64_t *place)
{
    uint32_t width = plan->field->tier_bits, before;
    uint64_t bit = id * width, bits;
    const uint8_t *entry = plan->directory + (bit >> 6) * plan->entry;
    memcpy(&bits, entry, sizeof bits);
    uint64_t tier = (bits >> (bit & 63)) & ((UINT64_C(1) << width) - 1);
    memcpy(&before, entry + sizeof bits + tier * sizeof before, sizeof before);
    *place = before + (uint64_t)__builtin_popcountll(fmc_matching(bits, tier, width, plan->lanes) & ((UINT64_C(1) << (bit & 63)) - 1));
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

/* Fetches what a category will need. One that does not exist is taken for the first: it costs nothing. */
INLINE void fetch_category(const fmc_step *step, const void *ids, bool wide, bool coded, bool raw, bool linear)
{
    const fmc_tier_plan *plan = &step->tier;
    uint64_t place = (uint64_t)fmc_id_at(ids, step->id, wide);
    place = place < (uint64_t)step->cardinality ? place : 0;
    if (coded) fetch(plan->codes + ((place * plan->row_bits) >> 3));
    if (raw) {
        fetch(plan->rows + place * plan->stride);
        fetch(plan->rows + (place + 1) * plan->stride - 1); /* it may lie in two lines */
    }
    if (linear) fetch(plan->linear + place * plan->linear_stride);
}

/* Fetches what tells the tier of a category. */
INLINE void fetch_directory(const fmc_step *step, const void *ids, bool wide)
{
    uint64_t id = (uint64_t)fmc_id_at(ids, step->id, wide);
    id = id < (uint64_t)step->cardinality ? id : 0;
    fetch(step->field->directory + ((id * step->field->field->tier_bits) >> 6) * step->field->entry);
}

/* The same of a field with several tiers, or whose rows are put together. */
INLINE void fetch_unusual(const fmc_step *step, const void *ids, bool wide)
{
    uint64_t place = (uint64_t)fmc_id_at(ids, step->id, wide);
    place = place < (uint64_t)step->cardinality ? place : 0;
    const fmc_tier_plan *tier = step->field->tiers;
    if (step->field->directory != NULL) tier += find_tier(step->field, place, &place);
    for (int i = 0; i < 2; i++) fetch(tier->fetch_from[i] + ((place * tier->fetch_bits[i]) >> 3));
}

/* Fetches all that a row will need, before the first rows are scored. */
static void fetch_row(const fmc_batch *batch, size_t row)
{
    const fmc_plan *plan = batch->model->plan;
    const void *ids = fmc_ids_of(batch, row);
    for (uint32_t i = 0; i < batch->model->id_count; i++)
        if (plan->steps[i].far) fetch_unusual(&plan->steps[i], ids, batch->wide);
}

/* Notes where the vectors of a category's codewords are. */
INLINE void find_codewords(const uint8_t **at, const fmc_tier_plan *plan, uint64_t place, uint32_t vectors, uint32_t vector_bytes)
{
    if (plan->chunks == 1) {
        for (uint32_t d = 0; d < vectors; d += FMC_TOGETHER)
            codewords(at + d, plan->groups + d / FMC_TOGETHER, code_bits(plan, place, plan->groups[d / FMC_TOGETHER].bit));
        return;
    }
    const uint8_t *words[FMC_TOGETHER];
    for (uint32_t d = 0; d < plan->subspaces; d += FMC_TOGETHER) {
        const fmc_group *group = &plan->groups[d / FMC_TOGETHER];
        codewords(words, group, code_bits(plan, place, group->bit));
        for (uint32_t i = 0; i < FMC_TOGETHER && d + i < plan->subspaces; i++)
            for (uint32_t c = 0; c < plan->chunks; c++) *at++ = words[i] + c * vector_bytes;
    }
}

/* Copies codewords of the same size, one after the other; `bytes` is a constant. */
INLINE void copy_codewords(uint8_t *to, const fmc_tier_plan *plan, uint64_t place, uint64_t bytes)
{
    const uint8_t *words[FMC_TOGETHER];
    for (uint32_t d = 0; d < plan->subspaces; d += FMC_TOGETHER) {
        const fmc_group *group = &plan->groups[d / FMC_TOGETHER];
        codewords(words, group, code_bits(plan, place, group->bit));
        /* What is copied for codes beyond the last one is overwritten, or left out. */
        for (uint32_t i = 0; i < FMC_TOGETHER; i++) memcpy(to + (d + i) * bytes, words[i], bytes);
    }
}

/* Copies the block's coordinates of codewords of any size. */
static void copy_any(const row_state *state, uint8_t *to, const fmc_tier_plan *plan, uint64_t place)
{
    uint64_t number_bytes = plan->number_bytes, start = state->start * number_bytes, stop = state->end * number_bytes, at = 0;
    for (uint32_t d = 0; d < plan->subspaces && at < stop; d += FMC_TOGETHER) {
        const fmc_group *group = &plan->groups[d / FMC_TOGETHER];
        const uint8_t *words[FMC_TOGETHER];
        codewords(words, group, code_bits(plan, place, group->bit));
        for (uint32_t i = 0; i < FMC_TOGETHER && d + i < plan->subspaces; i++) {
            uint64_t next = at + group->bytes[i], from = at < start ? start : at, until = next < stop ? next : stop;
            if (until > from) memcpy(to + (from - start), words[i] + (from - at), until - from);
            at = next;
        }
    }
}

/* Puts the block's coordinates of a row together, filled up with zeros to whole vectors. */
INLINE void put_together(const row_state *state, uint8_t *to, const fmc_tier_plan *plan, uint64_t place)
{
    switch (plan->part_bytes) {
    case 2: copy_codewords(to, plan, place, 2); return;
    case 4: copy_codewords(to, plan, place, 4); return;
    case 8: copy_codewords(to, plan, place, 8); return;
    default: break;
    }
    uint64_t number_bytes = plan->number_bytes, size = (state->end - state->start) * number_bytes;
    memset(to + size, 0, state->vectors * LANES * number_bytes - size);
    if (plan->groups == NULL)
        memcpy(to, plan->rows + place * plan->stride + state->start * number_bytes, size);
    else
        copy_any(state, to, plan, place);
}

/* A number of a kind, which is a constant here and below: bytes are 1, 2 or 4, of int8, fp16 or fp32. */
INLINE float number_at(const uint8_t *at, float scale, uint32_t bytes)
{
    return bytes == 1 ? (float)(int8_t)*at * scale : bytes == 2 ? fmc_half1(at) : fmc_load_float(at);
}

INLINE float linear_weight(const fmc_tier_plan *plan, uint64_t place, uint32_t bytes)
{
    uint64_t code = code_bits(plan, place, plan->linear_bit) & plan->linear_mask;
    const uint8_t *at = plan->linear + place * plan->linear_stride + code * plan->linear_bytes;
    return number_at(at, plan->linear_scale, bytes);
}

/* w − ½‖q‖² */
INLINE float scalar_at(const fmc_tier_plan *plan, uint64_t place)
{
    float scalar;
    memcpy(&scalar, plan->scalars + place * plan->scalar_stride, sizeof scalar);
    return scalar;
}

/* The sums of a row, in registers where the number of vectors is a constant. */
typedef struct {
    float linear; /* Σ w, and −½ Σ ‖q‖² of those of which it is known */
#ifdef FMC_WIDE
    floats16 wide[FMC_BLOCK / LANES / 2], wide_norm[2]; /* two, for each waits for the one before */
#endif
    floats8 narrow[FMC_BLOCK / LANES], norm[2];
} registers;

INLINE void clear(registers *own, uint32_t vectors)
{
    uint32_t v = 0;
    own->norm[0] = own->norm[1] = (floats8){0};
    own->linear = 0;
#ifdef FMC_WIDE
    own->wide_norm[0] = own->wide_norm[1] = (floats16){0};
    for (; v + 1 < vectors; v += 2) own->wide[v / 2] = (floats16){0};
#endif
    for (; v < vectors; v++) own->narrow[v] = (floats8){0};
}

INLINE float total8(floats8 x) { return ((x[0] + x[4]) + (x[1] + x[5])) + ((x[2] + x[6]) + (x[3] + x[7])); }

/* Returns Σ w + ½ (‖Σ q‖² − Σ ‖q‖²). */
INLINE float total(const registers *own, uint32_t vectors)
{
    uint32_t v = 0;
    floats8 pairs = -(own->norm[0] + own->norm[1]);
#ifdef FMC_WIDE
    floats16 wide_pairs = -(own->wide_norm[0] + own->wide_norm[1]);
    for (; v + 1 < vectors; v += 2) wide_pairs = fma16(own->wide[v / 2], own->wide[v / 2], wide_pairs);
    pairs += fold16(wide_pairs);
#endif
    for (; v < vectors; v++) pairs = fma8(own->narrow[v], own->narrow[v], pairs);
    return own->linear + 0.5F * total8(pairs);
}

INLINE void store_sums(const registers *own, float *sums, uint32_t vectors)
{
    uint32_t v = 0;
#ifdef FMC_WIDE
    for (; v + 1 < vectors; v += 2) *(floats16_at *)(sums + LANES * v) = own->wide[v / 2];
#endif
    for (; v < vectors; v++) *(floats8_at *)(sums + LANES * v) = own->narrow[v];
}

/* Vector v of an embedding: numbers of int8 times their scales. */
INLINE floats8 vector_at(const uint8_t *at, const float *scales, uint32_t v, uint32_t bytes)
{
    if (bytes == 1) return int8x8(at) * *(const floats8_at *)(scales + LANES * v);
    return bytes == 2 ? half8(at) : float8(at);
}

#ifdef FMC_WIDE
/* Vectors v and v + 1, at two addresses. */
INLINE floats16 vectors_at(const uint8_t *low, const uint8_t *high, const float *scales, uint32_t v, uint32_t bytes)
{
    if (bytes == 1) return int8x16(low, high) * *(const floats16_at *)(scales + LANES * v);
    return bytes == 2 ? half16(low, high) : float8x2(low, high);
}
#endif

/* Adds one embedding. */
INLINE void add_vectors(registers *own, const uint8_t *const *at, const float *scales, uint32_t vectors, uint32_t bytes)
{
    uint32_t v = 0;
#ifdef FMC_WIDE
    for (; v + 1 < vectors; v += 2) {
        floats16 q = vectors_at(at[v], at[v + 1], scales, v, bytes);
        own->wide[v / 2] += q;
        own->wide_norm[v / 2 % 2] = fma16(q, q, own->wide_norm[v / 2 % 2]);
    }
#endif
    for (; v < vectors; v++) {
        floats8 q = vector_at(at[v], scales, v, bytes);
        own->narrow[v] += q;
        own->norm[v % 2] = fma8(q, q, own->norm[v % 2]);
    }
}

/* Adds one embedding that lies whole; its norm too, unless that is known. */
INLINE void add_row(registers *own, const uint8_t *at, const float *scales, uint32_t vectors, uint32_t bytes, bool normed)
{
    uint32_t v = 0, step = LANES * bytes;
#ifdef FMC_WIDE
    for (; v + 1 < vectors; v += 2) {
        floats16 q = vectors_at(at + v * step, at + (v + 1) * step, scales, v, bytes);
        own->wide[v / 2] += q;
        if (!normed) own->wide_norm[v / 2 % 2] = fma16(q, q, own->wide_norm[v / 2 % 2]);
    }
#endif
    for (; v < vectors; v++) {
        floats8 q = vector_at(at + v * step, scales, v, bytes);
        own->narrow[v] += q;
        if (!normed) own->norm[v % 2] = fma8(q, q, own->norm[v % 2]);
    }
}

/* Returns whether a row has a category, and which; `*fine` becomes false where it is out of range. */
INLINE bool has_category(const fmc_step *step, const void *ids, bool wide, uint64_t *place, bool *fine)
{
    int64_t category = fmc_id_at(ids, step->id, wide);
    *place = (uint64_t)category;
    if (__builtin_expect(*place - step->low < step->span, 1)) return true;
    if (category == -1 || category == step->pad) return false;
    if (*place < (uint64_t)step->cardinality) return true;
    *fine = false;
    return false;
}

/* Adds the categories of a run whose rows lie whole; false where an id is out of range. */
INLINE bool add_whole_run(const row_state *state, registers *own, const fmc_run *run, uint32_t bytes, uint32_t vectors, bool wide)
{
    const fmc_step *steps = state->batch->model->plan->steps;
    bool fine = true, normed = run->way != FMC_WHOLE, far = run->way != FMC_SMALL;
    for (const fmc_step *step = steps + run->first; step < steps + run->last; step++) {
        const fmc_tier_plan *plan = &step->tier;
        uint64_t place;
        if (far) fetch_category(step, state->ids_ahead, wide, false, true, !normed);
        if (!has_category(step, state->ids, wide, &place, &fine)) {
            if (fine) continue;
            return false;
        }
        add_row(own, plan->rows + place * plan->stride, plan->scales, vectors, bytes, normed);
        own->linear += normed ? scalar_at(plan, place) : linear_weight(plan, place, bytes);
    }
    return true;
}

/* Notes where the codewords of a category are, and adds its linear weight. */
INLINE void note_codewords(coded_row *noted, registers *own, const fmc_tier_plan *plan, uint64_t place, bool one_load, uint32_t bytes,
                           uint32_t vectors)
{
    const uint8_t **at = noted->at + noted->count * vectors;
    if (one_load) {
        uint64_t bit = place * plan->row_bits, bits;
        memcpy(&bits, plan->codes + (bit >> 3), sizeof bits);
        bits >>= bit & 7;
        codewords(at, plan->groups, bits);
        own->linear += number_at(plan->linear + ((bits >> plan->linear_bit) & plan->linear_mask) * bytes, plan->linear_scale, bytes);
    } else {
        find_codewords(at, plan, place, vectors, LANES * bytes);
        own->linear += linear_weight(plan, place, bytes);
    }
    if (bytes == 1) noted->scales[noted->count] = plan->scales;
    noted->count++;
}

INLINE void add_noted(const coded_row *noted, registers *own, uint32_t bytes, uint32_t vectors)
{
    for (uint32_t i = 0; i < noted->count; i++)
        add_vectors(own, noted->at + i * vectors, bytes == 1 ? noted->scales[i] : NULL, vectors, bytes);
}

/* Adds the categories of a run with codes; false where an id is out of range. Addresses first, then what is there: both are short
 * chains of operations, of which a processor keeps many under way. */
INLINE bool add_coded_run(row_state *state, registers *own, const fmc_run *run, bool one_load, uint32_t bytes, uint32_t vectors,
                          bool wide)
{
    if (one_load && vectors > FMC_TOGETHER) return false; /* there is no such run */
    const fmc_step *step = state->batch->model->plan->steps + run->first, *last = state->batch->model->plan->steps + run->last;
    uint32_t most = MOST_VECTORS / vectors;
    bool fine = true;
    while (step < last) {
        const fmc_step *end = (uint32_t)(last - step) < most ? last : step + most;
        state->coded.count = 0;
        for (; step < end; step++) {
            uint64_t place;
            fetch_category(step, state->ids_ahead, wide, true, false, !one_load);
            if (has_category(step, state->ids, wide, &place, &fine))
                note_codewords(&state->coded, own, &step->tier, place, one_load, bytes, vectors);
        }
        if (!fine) return false;
        add_noted(&state->coded, own, bytes, vectors);
    }
    return true;
}

/* Finds the tiers of some categories; false where an id is out of range. */
INLINE bool find_some(row_state *state, uint32_t first, uint32_t last, bool wide)
{
    found_rows *found = &state->found;
    const fmc_step *steps = state->batch->model->plan->steps;
    memset(found->count, 0, sizeof found->count);
    bool fine = true;
    for (const fmc_step *step = steps + first; step < steps + last; step++) {
        uint64_t place;
        if (step->far) {
            if (step->field->directory != NULL) fetch_directory(step, state->ids_beyond, wide);
            fetch_unusual(step, state->ids_ahead, wide);
        }
        if (!has_category(step, state->ids, wide, &place, &fine)) continue;
        const fmc_tier_plan *tier = step->field->tiers;
        if (step->field->directory != NULL) tier += find_tier(step->field, place, &place);
        found->list[tier->list][found->count[tier->list]++] = (found_category){tier, place};
    }
    return fine;
}

/* Adds the categories of a list. `list` is a constant. */
INLINE void add_list(row_state *state, registers *own, uint32_t list, uint32_t vectors)
{
    found_rows *found = &state->found;
    uint32_t way = list / FMC_KINDS, bytes = 1U << list % FMC_KINDS, size = vectors * LANES * bytes;
    const found_category *one = found->list[list], *last = one + found->count[list];
    if (way == FMC_LIST_CODED) {
        state->coded.count = 0;
        for (; one < last; one++) note_codewords(&state->coded, own, one->tier, one->place, false, bytes, vectors);
        add_noted(&state->coded, own, bytes, vectors);
        return;
    }
    if (way == FMC_LIST_PARTS)
        for (uint32_t i = 0; one + i < last; i++) put_together(state, found->parts + i * size, one[i].tier, one[i].place);
    for (uint32_t i = 0; one < last; one++, i++) {
        const fmc_tier_plan *plan = one->tier;
        const uint8_t *row = way == FMC_LIST_PARTS ? found->parts + i * size : plan->rows + one->place * plan->stride;
        add_row(own, row, bytes == 1 ? plan->scales + state->start : NULL, vectors, bytes, way == FMC_LIST_NORMED);
        if (way == FMC_LIST_NORMED)
            own->linear += scalar_at(plan, one->place);
        else if (state->start == 0)
            own->linear += linear_weight(plan, one->place, bytes);
    }
}

/* Adds fields that are looked up in an unusual way, some at a time. */
INLINE bool add_unusual(row_state *state, registers *own, const fmc_run *run, uint32_t vectors, bool wide)
{
    uint32_t most = MOST_VECTORS / vectors < MOST_FIELDS ? MOST_VECTORS / vectors : MOST_FIELDS;
    for (uint32_t first = run->first; first < run->last; first += most) {
        if (!find_some(state, first, run->last - first < most ? run->last : first + most, wide)) return false;
        for (uint32_t list = 0; list < FMC_LISTS; list++) add_list(state, own, list, vectors);
    }
    return true;
}

/* Adds the categories of a run whose numbers have so many bytes. */
INLINE bool add_run(row_state *state, registers *own, const fmc_run *run, uint32_t bytes, uint32_t vectors, bool wide)
{
    switch (run->way) {
    case FMC_SMALL:
    case FMC_LARGE:
    case FMC_WHOLE: return add_whole_run(state, own, run, bytes, vectors, wide);
    case FMC_SHORT: return add_coded_run(state, own, run, true, bytes, vectors, wide);
    case FMC_CODED: return add_coded_run(state, own, run, false, bytes, vectors, wide);
    default: return false; /* such a run has no kind */
    }
}

/* Adds the categories of a row; false where an id is out of range. */
INLINE bool add_categories(row_state *state, registers *own, uint32_t vectors, bool wide)
{
    const fmc_plan *plan = state->batch->model->plan;
    for (const fmc_run *run = plan->runs; run < plan->runs + plan->run_count; run++) {
        bool fine;
        if (run->way == FMC_PARTS)
            fine = add_unusual(state, own, run, vectors, wide);
        else if (run->kind == 0)
            fine = add_run(state, own, run, 1, vectors, wide);
        else
            fine = run->kind == 1 ? add_run(state, own, run, 2, vectors, wide) : add_run(state, own, run, 4, vectors, wide);
        if (!fine) return false;
    }
    return true;
}

#include "score_bags.h"

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

/* Adds a block of coordinates to the logit of a row, and all that has none where it is the first one; false where an id or a value is
 * wrong. `vectors` is a constant where it is usual. */
INLINE bool score_block(row_state *state, uint32_t vectors, bool wide, float *logit)
{
    const fmc_batch *batch = state->batch;
    size_t numeric = batch->model->numeric_count;
    registers own;
    clear(&own, vectors);
    if (!add_categories(state, &own, vectors, wide)) return false;
    *logit += total(&own, vectors);
    if (batch->bags != NULL || numeric != 0) store_sums(&own, state->sums, vectors);
    if (batch->bags != NULL && !add_bags(state, logit)) return false;
    if (numeric != 0) {
        const double *values = batch->values + state->row * numeric;
        if (!values_are_fine(values, numeric)) return false;
        *logit += (float)numeric_part(state, batch->model, values);
    }
    return true;
}

/* Scores a row in blocks of coordinates. */
static bool score_blocks(row_state *state, float *logit)
{
    uint32_t dim = state->batch->model->dim;
    for (uint32_t start = 0; start < dim; start += FMC_BLOCK) {
        state->start = start;
        state->end = start + FMC_BLOCK < dim ? start + FMC_BLOCK : dim;
        state->vectors = (state->end - start + LANES - 1) / LANES;
        if (!score_block(state, state->vectors, state->batch->wide, logit)) return false;
    }
    return true;
}

/* Scores rows. `vectors` is 0 where it is no usual number. */
INLINE fmc_status score_all(row_state *state, size_t first, size_t last, uint32_t vectors, bool wide, char *message)
{
    const fmc_batch *batch = state->batch;
    for (size_t row = first; row < first + AHEAD && row < last; row++) fetch_row(batch, row);
    for (size_t row = first; row < last; row++) {
        float logit = batch->model->bias;
        state->row = row;
        state->ids = fmc_ids_of(batch, row);
        state->ids_ahead = fmc_ids_of(batch, row + AHEAD < last ? row + AHEAD : row);
        state->ids_beyond = fmc_ids_of(batch, row + 2 * AHEAD < last ? row + 2 * AHEAD : row);
        if (!(vectors != 0 ? score_block(state, vectors, wide, &logit) : score_blocks(state, &logit)))
            return fmc_wrong_row(batch, row, row + 1, message);
        batch->predictions[row] = logit;
        if ((row + 1 - first) % ROWS == 0) fmc_apply_link(batch->model, batch->predictions + row + 1 - ROWS, ROWS);
    }
    size_t rest = (last - first) % ROWS;
    fmc_apply_link(batch->model, batch->predictions + last - rest, rest);
    return FMC_OK;
}

/* One copy of the code for each usual number of vectors, a function each: in one that held all, compilers would keep sums in memory.
 * Only one copy where compiling takes long, as it does with sanitizers. */
#define FMC_COPY(NAME, VECTORS, WIDE)                                                                                             \
    static __attribute__((noinline)) fmc_status NAME(row_state *state, size_t first, size_t last, char *message)                   \
    {                                                                                                                             \
        return score_all(state, first, last, VECTORS, WIDE, message);                                                             \
    }

FMC_COPY(score_any, 0, false)
#if !defined(FMC_FEW_COPIES)
FMC_COPY(score_1_narrow, 1, false)
FMC_COPY(score_1_wide, 1, true)
FMC_COPY(score_2_narrow, 2, false)
FMC_COPY(score_2_wide, 2, true)
FMC_COPY(score_4_narrow, 4, false)
FMC_COPY(score_4_wide, 4, true)
FMC_COPY(score_8_narrow, 8, false)
FMC_COPY(score_8_wide, 8, true)
#endif
#undef FMC_COPY

fmc_status FMC_SCORE(const fmc_batch *batch, size_t first, size_t last, char *message)
{
    row_state state;
    state.batch = batch;
    state.start = 0;
    state.end = batch->model->dim;
    state.vectors = (state.end + LANES - 1) / LANES;
    switch (state.vectors) {
#if !defined(FMC_FEW_COPIES)
    case 1: return (batch->wide ? score_1_wide : score_1_narrow)(&state, first, last, message);
    case 2: return (batch->wide ? score_2_wide : score_2_narrow)(&state, first, last, message);
    case 4: return (batch->wide ? score_4_wide : score_4_narrow)(&state, first, last, message);
    case 8: return (batch->wide ? score_8_wide : score_8_narrow)(&state, first, last, message);
#endif
    default: return score_any(&state, first, last, message);
    }
}

#include "score_network.h"
