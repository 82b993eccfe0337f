#include "plan.h"

#include "bits.h"
#include "memory.h"
#include "network.h"
#include "status.h"

#include <stdlib.h>

/* What is smaller stays in the first caches. */
enum { NEAR_BYTES = 32768, FEW_ROWS = 4096, DECODED_PART = 8 };

/* Rows that would have to be put together each time are put together once, as long as they take no more than this, and an eighth of the
 * artifact. */
#ifndef FMC_DECODED_BYTES
#define FMC_DECODED_BYTES (7U << 19)
#endif

static uint32_t filled_up(uint32_t count, uint32_t to) { return (count + to - 1) / to * to; }

static bool plan_codes(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    fmc_group *groups = fmc_allocate(model, filled_up(tier->subspaces, FMC_TOGETHER) / FMC_TOGETHER, sizeof *groups);
    if (groups == NULL) return false;
    uint64_t bit = 0;
    uint32_t size = tier->tables[0].columns;
    bool vectors = model->dim <= FMC_BLOCK && size % FMC_LANES == 0;
    for (uint32_t d = 0; d < tier->subspaces; d++) {
        fmc_group *group = &groups[d / FMC_TOGETHER];
        uint32_t at = d % FMC_TOGETHER;
        if (at == 0) {
            group->bit = bit;
            /* Beyond the last code, the first codeword of all is named, so that there is something to read. */
            for (uint32_t i = 0; i < FMC_TOGETHER; i++) group->table[i] = (uint64_t)(uintptr_t)tier->tables[0].numbers;
        }
        group->shift[at] = bit - group->bit;
        group->mask[at] = (UINT64_C(1) << tier->widths[d]) - 1;
        group->bytes[at] = tier->tables[d].columns * tier->number_bytes;
        group->table[at] = (uint64_t)(uintptr_t)tier->tables[d].numbers;
        vectors &= tier->tables[d].columns == size;
        bit += tier->widths[d];
    }
    plan->groups = groups;
    plan->chunks = size / FMC_LANES;
    if (model->dim % FMC_LANES == 0 && model->dim <= FMC_BLOCK && model->dim % tier->subspaces == 0)
        plan->part_bytes = (uint32_t)groups[0].bytes[0];
    bool one_load = tier->subspaces <= FMC_TOGETHER && size == FMC_LANES && tier->row_bits <= FMC_LOAD_BITS && !tier->linear_raw &&
                    model->codes_end - tier->codes - (ptrdiff_t)tier->code_bytes >= 8; /* a load may reach beyond its last row */
    plan->way = !vectors ? FMC_PARTS : one_load ? FMC_SHORT : FMC_CODED;
    return true;
}

static bool plan_scales(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    if (tier->number_bytes != 1) return true;
    float *scales = fmc_allocate(model, filled_up(model->dim, FMC_LANES), sizeof *scales);
    if (scales == NULL) return false;
    for (uint32_t d = 0, at = 0; d < tier->subspaces; d++)
        for (uint32_t i = 0; i < tier->tables[d].columns; i++) scales[at++] = tier->tables[d].scale;
    plan->scales = scales;
    return true;
}

static void plan_linear(const fmc_tier *tier, fmc_tier_plan *plan)
{
    uint64_t number_bytes = tier->number_bytes;
    plan->linear = tier->linear.numbers;
    plan->linear_scale = tier->linear.scale;
    if (tier->linear_raw) {
        plan->linear_stride = number_bytes;
    } else if (tier->linear.rows > 1) {
        uint32_t width = tier->widths[tier->code_count - 1];
        plan->linear_bit = tier->row_bits - width;
        plan->linear_mask = (UINT64_C(1) << width) - 1;
        plan->linear_bytes = number_bytes;
    }
}

/* Returns a number of a table that begins at an address. */
static float number_at(const uint8_t *numbers, uint32_t number_bytes, float scale, uint64_t at)
{
    switch (number_bytes) {
    case 1: return (float)(int8_t)numbers[at] * scale;
    case 2: return fmc_half(fmc_load16(numbers + 2 * at));
    default: return fmc_load_float(numbers + 4 * at);
    }
}

static uint64_t code_of(const fmc_model *model, const fmc_tier *tier, uint64_t row, uint64_t skip, uint64_t mask)
{
    uint64_t bit = row * tier->row_bits + skip;
    return mask == 0 ? 0 : (fmc_load64(tier->codes + (bit >> 3), model->codes_end) >> (bit & 7)) & mask;
}

/* Returns w − ½‖q‖² of a category whose row lies whole. */
static float scalar_of(const fmc_model *model, const fmc_tier *tier, const fmc_tier_plan *plan, uint64_t row)
{
    const uint8_t *at = plan->rows + row * plan->stride;
    double norm = 0;
    for (uint32_t i = 0; i < model->dim; i++) {
        float q = number_at(at, tier->number_bytes, plan->scales != NULL ? plan->scales[i] : 1, i);
        norm += (double)q * (double)q;
    }
    uint64_t code = tier->linear_raw ? row : code_of(model, tier, row, plan->linear_bit, plan->linear_mask);
    return (float)((double)number_at(tier->linear.numbers, tier->number_bytes, tier->linear.scale, code) - 0.5 * norm);
}

/* Computes w − ½‖q‖² of each category. */
static bool plan_scalars(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    float *scalars = fmc_allocate(model, tier->categories, sizeof *scalars);
    if (scalars == NULL) return false;
    for (uint64_t row = 0; row < tier->categories; row++) scalars[row] = scalar_of(model, tier, plan, row);
    plan->scalars = (const uint8_t *)scalars;
    plan->scalar_stride = sizeof *scalars;
    plan->way = FMC_SMALL;
    return true;
}

static void decode_row(const fmc_model *model, const fmc_tier *tier, uint64_t row, uint8_t *to)
{
    uint64_t number_bytes = tier->number_bytes, skip = 0;
    for (uint32_t d = 0; d < tier->subspaces; d++) {
        const fmc_table *table = &tier->tables[d];
        uint64_t width = tier->raw ? 0 : tier->widths[d], bytes = table->columns * number_bytes;
        uint64_t code = tier->raw ? row : code_of(model, tier, row, skip, (UINT64_C(1) << width) - 1);
        memcpy(to, table->numbers + code * bytes, bytes);
        to += bytes;
        skip += width;
    }
}

static uint64_t decoded_stride(const fmc_model *model, const fmc_tier *tier)
{
    return (uint64_t)filled_up(model->dim, FMC_LANES) * tier->number_bytes + sizeof(float);
}

/* Puts all rows of a tier together, each with its w − ½‖q‖² behind it. */
static bool decode_tier(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    uint64_t stride = decoded_stride(model, tier);
    uint8_t *rows = fmc_allocate(model, tier->categories, stride);
    if (rows == NULL) return false;
    plan->rows = rows;
    plan->stride = plan->scalar_stride = stride;
    plan->scalars = rows + stride - sizeof(float);
    for (uint64_t row = 0; row < tier->categories; row++) {
        decode_row(model, tier, row, rows + row * stride);
        float scalar = scalar_of(model, tier, plan, row);
        memcpy(rows + (row + 1) * stride - sizeof scalar, &scalar, sizeof scalar);
    }
    plan->way = tier->categories * stride > NEAR_BYTES ? FMC_LARGE : FMC_SMALL;
    return true;
}

/* A tier whose rows would have to be put together. */
typedef struct {
    const fmc_tier *tier;
    fmc_tier_plan *plan;
} candidate;

static int by_categories(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->tier->categories != y->tier->categories) return x->tier->categories < y->tier->categories ? -1 : 1;
    return x->tier < y->tier ? -1 : x->tier > y->tier;
}

/* Decodes the first ones, as many as there is room for. */
static bool decode_some(fmc_model *model, const candidate *candidates, size_t count)
{
    uint64_t left = FMC_DECODED_BYTES + (uint64_t)(model->values_end - model->values + (model->codes_end - model->codes)) / DECODED_PART;
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = candidates[i].tier->categories * decoded_stride(model, candidates[i].tier);
        if (bytes > left) return true;
        if (!decode_tier(model, candidates[i].tier, candidates[i].plan)) return false;
        left -= bytes;
    }
    return true;
}

/* Decodes tiers whose rows would have to be put together, those with the fewest categories first: they are looked up as often as larger
 * ones, and take less memory. */
static bool decode_tiers(fmc_model *model, fmc_field_plan *fields)
{
    size_t tiers = 0, count = 0;
    if (model->dim > FMC_BLOCK) return true;
    for (size_t f = 0; f < model->field_count; f++) tiers += model->fields[f].tier_count;
    candidate *candidates = malloc(tiers * sizeof *candidates);
    if (candidates == NULL) return false;
    for (size_t f = 0; f < model->field_count; f++)
        for (uint32_t t = 0; t < model->fields[f].tier_count; t++)
            if (fields[f].tiers[t].way == FMC_PARTS)
                candidates[count++] = (candidate){&model->fields[f].tiers[t], &fields[f].tiers[t]};
    qsort(candidates, count, sizeof *candidates, by_categories);
    bool fits = decode_some(model, candidates, count);
    free(candidates);
    return fits;
}

static bool plan_tier(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    static const uint8_t NOTHING[8];
    bool shared = !tier->raw && tier->subspaces == 1 && tier->tables[0].rows == 1;
    plan->number_bytes = tier->number_bytes;
    plan->subspaces = tier->subspaces;
    plan->row_bits = tier->row_bits;
    plan->codes = plan->codes_last = NOTHING;
    if (tier->code_bytes != 0) {
        plan->codes = tier->codes;
        plan->codes_last = model->codes_end - tier->codes >= 8 ? model->codes_end - 8 : NULL;
        plan->codes_end = model->codes_end;
    }
    plan_linear(tier, plan);
    if (!plan_scales(model, tier, plan)) return false;
    if (!tier->raw && !shared) return plan_codes(model, tier, plan);
    plan->rows = tier->tables[0].numbers;
    plan->stride = shared ? 0 : (uint64_t)model->dim * tier->number_bytes;
    plan->way = model->dim % FMC_LANES == 0 && model->dim <= FMC_BLOCK ? FMC_WHOLE : FMC_PARTS;
    /* Categories that take no byte of the file get none here: a file may have any number of them. */
    bool stored = plan->stride != 0 || tier->linear_raw || tier->row_bits != 0;
    return plan->way == FMC_PARTS || tier->categories > FEW_ROWS || !stored || plan_scalars(model, tier, plan);
}

/* Counts the categories of each tier before each word of the stream. */
static bool plan_directory(fmc_model *model, const fmc_field *field, fmc_field_plan *plan)
{
    if (field->tier_count < 2) return true;
    size_t words = (size_t)((field->tier_bytes + 7) / 8);
    uint32_t counts[FMC_MAX_TIERS] = {0};
    plan->lanes = fmc_lanes(field->tier_bits);
    plan->entry = field->tier_count == 2 ? 16 : 24;
    uint8_t *entry = fmc_allocate(model, words, plan->entry);
    if (entry == NULL) return false;
    plan->directory = entry;
    for (size_t word = 0; word < words; word++, entry += plan->entry) {
        uint64_t bits = fmc_load64(field->tier_stream + 8 * word, field->tier_stream + field->tier_bytes);
        memcpy(entry, &bits, sizeof bits);
        memcpy(entry + sizeof bits, counts, field->tier_count * sizeof *counts);
        for (uint32_t tier = 0; tier < field->tier_count; tier++)
            counts[tier] += (uint32_t)__builtin_popcountll(fmc_matching(bits, tier, field->tier_bits, plan->lanes));
    }
    return true;
}

static bool plan_field(fmc_model *model, const fmc_field *field, fmc_field_plan *plan)
{
    plan->field = field;
    if (!plan_directory(model, field, plan)) return false;
    for (uint32_t t = 0; t < field->tier_count; t++)
        if (!plan_tier(model, &field->tiers[t], &plan->tiers[t])) return false;
    return true;
}

/* Sorts a tier by how it is looked up, and says what to fetch ahead. */
static void finish_tier(fmc_tier_plan *plan)
{
    uint32_t list = plan->way == FMC_PARTS ? FMC_LIST_PARTS : plan->scalars != NULL ? FMC_LIST_NORMED : plan->way == FMC_WHOLE ? FMC_LIST_PLAIN : FMC_LIST_CODED;
    plan->list = FMC_KINDS * list + fmc_kind(plan->number_bytes);
    if (plan->stride != 0) {
        plan->fetch_from[0] = plan->rows;
        plan->fetch_from[1] = plan->rows + plan->stride - 1; /* a row may lie in two lines */
        plan->fetch_bits[0] = plan->fetch_bits[1] = 8 * plan->stride;
    } else {
        plan->fetch_from[0] = plan->codes;
        plan->fetch_from[1] = plan->linear;
        plan->fetch_bits[0] = plan->row_bits;
        plan->fetch_bits[1] = 8 * plan->linear_stride;
    }
}

static bool is_far(const fmc_field_plan *plan)
{
    uint64_t bits = 8 * plan->field->tier_bytes;
    for (uint32_t t = 0; t < plan->field->tier_count; t++) {
        const fmc_tier_plan *tier = &plan->tiers[t];
        bits += plan->field->tiers[t].categories * (8 * (tier->stride + tier->linear_stride) + tier->row_bits);
    }
    return bits > 8 * NEAR_BYTES;
}

static fmc_step step_of(uint32_t id, const fmc_field_plan *plan)
{
    const fmc_field *field = plan->field;
    fmc_step step = {id, is_far(plan), field->cardinality, field->pad, 0, (uint64_t)field->cardinality, plan, plan->tiers[0]};
    if (field->pad == 0) {
        step.low = 1;
        step.span--;
    } else if (field->pad > 0) {
        step.span = (uint64_t)field->pad; /* ids beyond it are looked at twice */
    }
    return step;
}

/* Ids that are looked up in the same way get the same number. */
static int kind_of(const fmc_field_plan *plan)
{
    const fmc_tier_plan *tier = plan->tiers;
    if (plan->directory != NULL || tier->way == FMC_PARTS) return FMC_KINDS * FMC_PARTS;
    return FMC_KINDS * (int)tier->way + (int)fmc_kind(tier->number_bytes);
}

/* Puts the ids in the order of their kinds. */
static bool plan_steps(fmc_model *model, fmc_plan *plan, const fmc_field_plan *fields)
{
    enum { KINDS = FMC_KINDS * FMC_PARTS + 1 };
    fmc_step *steps = fmc_allocate(model, model->id_count, sizeof *steps);
    fmc_run *runs = fmc_allocate(model, KINDS, sizeof *runs);
    uint32_t count = 0;
    if (steps == NULL || runs == NULL) return false;
    for (int kind = 0; kind < KINDS; kind++) {
        uint32_t first = count;
        for (uint32_t id = 0; id < model->id_count; id++) {
            const fmc_field_plan *field = &fields[model->ids[id].field - model->fields];
            if (kind_of(field) == kind) steps[count++] = step_of(id, field);
        }
        if (count > first) runs[plan->run_count++] = (fmc_run){first, count, (fmc_way)(kind / FMC_KINDS), (uint32_t)(kind % FMC_KINDS)};
    }
    plan->steps = steps;
    plan->runs = runs;
    return true;
}

/* Finds the ids that may have several values. */
static bool plan_pooled(fmc_model *model, fmc_plan *plan, const fmc_field_plan *fields)
{
    size_t count = 0;
    for (size_t id = 0; id < model->id_count; id++) count += model->ids[id].pooling != NULL;
    if (count == 0) return true;
    fmc_step *pooled = fmc_allocate(model, count, sizeof *pooled);
    if (pooled == NULL) return false;
    for (uint32_t id = 0; id < model->id_count; id++)
        if (model->ids[id].pooling != NULL)
            pooled[plan->pooled_count++] = step_of(id, &fields[model->ids[id].field - model->fields]);
    plan->pooled = pooled;
    return true;
}

/* Notes all ids in their order. */
static bool plan_in_order(fmc_model *model, fmc_plan *plan, const fmc_field_plan *fields)
{
    fmc_step *steps = fmc_allocate(model, model->id_count, sizeof *steps);
    if (steps == NULL) return false;
    for (uint32_t id = 0; id < model->id_count; id++) steps[id] = step_of(id, &fields[model->ids[id].field - model->fields]);
    plan->in_order = steps;
    return true;
}

static bool plan_numeric(fmc_model *model, fmc_plan *plan)
{
    size_t blocks = (model->dim + FMC_BLOCK - 1) / FMC_BLOCK;
    double *norms = fmc_allocate(model, blocks * model->numeric_count, sizeof *norms);
    if (norms == NULL) return false;
    for (size_t block = 0; block < blocks; block++)
        for (size_t j = 0; j < model->numeric_count; j++) {
            const float *v = model->numeric[j].embedding;
            size_t end = (block + 1) * FMC_BLOCK < model->dim ? (block + 1) * FMC_BLOCK : model->dim;
            for (size_t i = block * FMC_BLOCK; v != NULL && i < end; i++)
                norms[block * model->numeric_count + j] += (double)v[i] * (double)v[i];
        }
    plan->norms = norms;
    return true;
}

fmc_status fmc_make_plan(fmc_model *model, char *message)
{
    fmc_plan *plan = fmc_allocate(model, 1, sizeof *plan);
    fmc_field_plan *fields = fmc_allocate(model, model->field_count, sizeof *fields);
    bool fits = plan != NULL && fields != NULL && plan_numeric(model, plan);
    for (size_t f = 0; fits && f < model->field_count; f++) fits = plan_field(model, &model->fields[f], &fields[f]);
    fits = fits && decode_tiers(model, fields);
    for (size_t f = 0; fits && f < model->field_count; f++)
        for (uint32_t t = 0; t < model->fields[f].tier_count; t++) finish_tier(&fields[f].tiers[t]);
    if (!fits || !plan_steps(model, plan, fields) || !plan_pooled(model, plan, fields)) return fmc_fail(FMC_NO_MEMORY, message, "memory is not enough");
    if (model->network != NULL && (!fmc_prepare_network(model) || !plan_in_order(model, plan, fields)))
        return fmc_fail(FMC_NO_MEMORY, message, "memory is not enough");
    plan->score = model->network != NULL ? fmc_best_isa()->network : fmc_best_isa()->score;
    model->plan = plan;
    return FMC_OK;
}
