/* Fields with several values in a row, a part of score_template.h: what they add to the sums of a row, and to its logit.
 *
 * Of a row's terms q, one after the other, each adds S · q to the logit and then q to S, the sum of those before it: no squares are
 * subtracted from each other, which would cancel where weights are large. The values of a bag are one term, pooled; with the pooling
 * `each`, every value is one. */

enum { VALUES_AHEAD = 8 /* values between fetching and use, be they of this row or of those after it */ };

typedef struct {
    floats8 sums[FMC_BLOCK / LANES]; /* S */
    floats8 pooled[FMC_BLOCK / LANES]; /* Σ_j c_j q_j of a bag */
    floats8 pairs; /* Σ S · q */
    float linear; /* what linear weights add to the logit */
    float pooled_linear; /* Σ_j c_j w_j of a bag */
} bag_sums;

/* Fetches what a value will need. One that does not exist is taken for the first. */
INLINE void fetch_value(const fmc_step *step, const void *ids, size_t at, bool wide)
{
    uint64_t place = (uint64_t)fmc_id_at(ids, at, wide);
    place = place < (uint64_t)step->cardinality ? place : 0;
    const fmc_tier_plan *tier = step->field->tiers;
    if (step->field->directory != NULL) tier += find_tier(step->field, place, &place);
    for (int i = 0; i < 2; i++) fetch(tier->fetch_from[i] + ((place * tier->fetch_bits[i]) >> 3));
}

/* Finds the tiers of some values; false where an id is out of range or a weight is not finite. */
INLINE bool find_values(row_state *state, const fmc_step *step, const fmc_bag *bag, size_t first, size_t last)
{
    found_rows *found = &state->found;
    bool wide = state->batch->wide, fine = true;
    memset(found->count, 0, sizeof found->count);
    for (size_t at = first; at < last; at++) {
        if (step->far && bag->count - at > VALUES_AHEAD) fetch_value(step, bag->ids, at + VALUES_AHEAD, wide);
        float weight = bag->weights == NULL ? 1 : bag->weights[at];
        int64_t id = fmc_id_at(bag->ids, at, wide);
        uint64_t place = (uint64_t)id;
        fine &= fabsf(weight) <= FLT_MAX;
        if (id == -1 || id == step->pad) continue;
        if (place >= (uint64_t)step->cardinality) return false;
        const fmc_tier_plan *tier = step->field->tiers;
        if (step->field->directory != NULL) tier += find_tier(step->field, place, &place);
        uint32_t number = found->count[tier->list]++;
        found->list[tier->list][number] = (found_category){tier, place};
        found->weight[tier->list][number] = weight;
    }
    return fine;
}

/* Notes where the vectors of the values of a list are. */
INLINE void note_values(row_state *state, uint32_t list, uint32_t vectors)
{
    found_rows *found = &state->found;
    uint32_t way = list / FMC_KINDS, vector_bytes = LANES * (1U << list % FMC_KINDS), size = vectors * vector_bytes;
    for (uint32_t i = 0; i < found->count[list]; i++) {
        const found_category *value = &found->list[list][i];
        const uint8_t **at = state->coded.at + i * vectors, *row = value->tier->rows + value->place * value->tier->stride;
        if (way == FMC_LIST_CODED) {
            find_codewords(at, value->tier, value->place, vectors, vector_bytes);
            continue;
        }
        if (way == FMC_LIST_PARTS) {
            row = found->parts + i * size;
            put_together(state, found->parts + i * size, value->tier, value->place);
        }
        for (uint32_t v = 0; v < vectors; v++) at[v] = row + v * vector_bytes;
    }
}

/* Adds vector v of a value's embedding, times its weight. */
INLINE void add_value(bag_sums *own, floats8 q, float weight, uint32_t v, bool each)
{
    floats8 weights = weight - (floats8){0};
    if (!each) {
        own->pooled[v] = fma8(q, weights, own->pooled[v]);
        return;
    }
    q *= weights;
    own->pairs = fma8(own->sums[v], q, own->pairs);
    own->sums[v] += q;
}

/* Adds the values of a list, whose numbers have so many bytes, which is a constant. */
INLINE void add_values(const row_state *state, bag_sums *own, uint32_t list, uint32_t vectors, uint32_t bytes, bool each)
{
    const found_rows *found = &state->found;
    for (uint32_t i = 0; i < found->count[list]; i++) {
        const fmc_tier_plan *plan = found->list[list][i].tier;
        const float *scales = bytes == 1 ? plan->scales + state->start : NULL;
        float weight = found->weight[list][i];
        for (uint32_t v = 0; v < vectors; v++)
            add_value(own, vector_at(state->coded.at[i * vectors + v], scales, v, bytes), weight, v, each);
        if (state->start == 0) own->pooled_linear += weight * linear_weight(plan, found->list[list][i].place, bytes);
    }
}

INLINE float scale_of(fmc_scale scale, size_t count)
{
    float m = (float)count;
    return scale == FMC_SUM ? 1 : scale == FMC_MEAN ? 1 / m : 1 / sqrtf(m);
}

/* Adds the values of a bag in a row; false where one is wrong. */
INLINE bool add_bag(row_state *state, bag_sums *own, const fmc_step *step, const fmc_bag *bag, uint32_t vectors, bool each)
{
    const fmc_pooling *pooling = state->batch->model->ids[step->id].pooling;
    size_t first = (size_t)bag->starts[state->row], last = (size_t)bag->starts[state->row + 1], count = 0;
    uint32_t most = MOST_VECTORS / vectors < MOST_FIELDS ? MOST_VECTORS / vectors : MOST_FIELDS;
    if (first > last || last > bag->count) return false;
    own->pooled_linear = 0;
    for (uint32_t v = 0; v < vectors; v++) own->pooled[v] = (floats8){0};
    for (; first < last; first += most) {
        if (!find_values(state, step, bag, first, last - first < most ? last : first + most)) return false;
        for (uint32_t list = 0; list < FMC_LISTS; list++) {
            if (state->found.count[list] == 0) continue;
            count += state->found.count[list];
            note_values(state, list, vectors);
            switch (list % FMC_KINDS) {
            case 0: add_values(state, own, list, vectors, 1, each); break;
            case 1: add_values(state, own, list, vectors, 2, each); break;
            default: add_values(state, own, list, vectors, 4, each);
            }
        }
    }
    if (count == 0) return true;
    own->linear += own->pooled_linear * scale_of(pooling->linear, count);
    if (each) return true;
    float scale = scale_of(pooling->embedding, count);
    for (uint32_t v = 0; v < vectors; v++) {
        floats8 q = own->pooled[v] * scale;
        own->pairs = fma8(own->sums[v], q, own->pairs);
        own->sums[v] += q;
    }
    return true;
}

/* Adds the bags of a row to the sums of a block and to the logit; false where one is wrong. */
INLINE bool add_bags_of_size(row_state *state, uint32_t vectors, float *logit)
{
    const fmc_batch *batch = state->batch;
    const fmc_plan *plan = batch->model->plan;
    bag_sums own;
    own.pairs = (floats8){0};
    own.linear = 0;
    for (uint32_t v = 0; v < vectors; v++) own.sums[v] = *(const floats8_at *)(state->sums + LANES * v);
    for (const fmc_step *step = plan->pooled; step < plan->pooled + plan->pooled_count; step++) {
        const fmc_bag *bag = &batch->bags[step->id];
        if (bag->starts == NULL) continue;
        int64_t beside = fmc_id_at(state->ids, step->id, batch->wide);
        if (beside != -1 && beside != step->pad) return false;
        bool each = batch->model->ids[step->id].pooling->each;
        if (!(each ? add_bag(state, &own, step, bag, vectors, true) : add_bag(state, &own, step, bag, vectors, false))) return false;
    }
    for (uint32_t v = 0; v < vectors; v++) *(floats8_at *)(state->sums + LANES * v) = own.sums[v];
    *logit += own.linear + total8(own.pairs);
    return true;
}

/* A copy for each usual number of vectors. */
#define FMC_COPY(NAME, VECTORS) \
    static __attribute__((noinline)) bool NAME(row_state *state, float *logit) { return add_bags_of_size(state, VECTORS, logit); }

FMC_COPY(add_any_bags, state->vectors)
#if !defined(FMC_FEW_COPIES)
FMC_COPY(add_bags_1, 1)
FMC_COPY(add_bags_2, 2)
FMC_COPY(add_bags_4, 4)
FMC_COPY(add_bags_8, 8)
#endif
#undef FMC_COPY

/* Adds bags outside of the code for rows without them, which is as it is without it. */
static __attribute__((noinline)) bool add_bags(row_state *state, float *logit)
{
    switch (state->vectors) {
#if !defined(FMC_FEW_COPIES)
    case 1: return add_bags_1(state, logit);
    case 2: return add_bags_2(state, logit);
    case 4: return add_bags_4(state, logit);
    case 8: return add_bags_8(state, logit);
#endif
    default: return add_any_bags(state, logit);
    }
}
