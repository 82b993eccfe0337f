#include "plan.h"

#include "bits.h"
#include "memory.h"
#include "status.h"

/* What is smaller stays in the first caches. */
enum { NEAR_BYTES = 32768, FEW_ROWS = 4096, LOAD_BITS = 57 };

static uint32_t filled_up(uint32_t count, uint32_t to) { return (count + to - 1) / to * to; }

static bool plan_codes(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    fmc_group *groups = fmc_allocate(model, filled_up(tier->subspaces, FMC_TOGETHER) / FMC_TOGETHER, sizeof *groups);
    if (groups == NULL) return false;
    uint64_t bit = 0;
    bool vectors = model->dim <= FMC_BLOCK;
    for (uint32_t d = 0; d < tier->subspaces; d++) {
        fmc_group *group = &groups[d / FMC_TOGETHER];
        uint32_t at = d % FMC_TOGETHER;
        if (at == 0) group->bit = bit;
        group->shift[at] = bit - group->bit;
        group->mask[at] = (UINT64_C(1) << tier->widths[d]) - 1;
        group->bytes[at] = tier->tables[d].columns * (tier->int8 ? 1U : 2U);
        group->table[at] = (uint64_t)(uintptr_t)tier->tables[d].numbers;
        vectors &= tier->tables[d].columns == FMC_LANES;
        bit += tier->widths[d];
    }
    plan->groups = groups;
    bool one_load = tier->subspaces <= FMC_TOGETHER && tier->row_bits <= LOAD_BITS && !tier->linear_raw;
    plan->way = !vectors ? FMC_PARTS : one_load ? FMC_SHORT : FMC_CODED;
    return true;
}

static bool plan_scales(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    if (!tier->int8) return true;
    float *scales = fmc_allocate(model, filled_up(model->dim, FMC_LANES), sizeof *scales);
    if (scales == NULL) return false;
    for (uint32_t d = 0, at = 0; d < tier->subspaces; d++)
        for (uint32_t i = 0; i < tier->tables[d].columns; i++) scales[at++] = tier->tables[d].scale;
    plan->scales = scales;
    return true;
}

static void plan_linear(const fmc_tier *tier, fmc_tier_plan *plan)
{
    uint64_t number_bytes = tier->int8 ? 1 : 2;
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

static float number_at(const fmc_table *table, bool int8, uint64_t at)
{
    if (int8) return (float)(int8_t)table->numbers[at] * table->scale;
    return fmc_half(fmc_load16(table->numbers + 2 * at));
}

/* Computes w − ½‖q‖² of each category. */
static bool plan_scalars(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    float *scalars = fmc_allocate(model, tier->categories, sizeof *scalars);
    if (scalars == NULL) return false;
    for (uint64_t row = 0; row < tier->categories; row++) {
        uint64_t code = row;
        if (!tier->linear_raw) {
            uint64_t bit = row * tier->row_bits + plan->linear_bit;
            code = tier->code_bytes ? (fmc_load64(tier->codes + (bit >> 3), model->codes_end) >> (bit & 7)) & plan->linear_mask : 0;
        }
        const fmc_table *table = &tier->tables[0];
        double norm = 0;
        for (uint64_t i = 0; i < table->columns; i++) {
            double q = number_at(table, tier->int8, (plan->stride != 0 ? row : 0) * table->columns + i);
            norm += q * q;
        }
        scalars[row] = (float)(number_at(&tier->linear, tier->int8, code) - 0.5 * norm);
    }
    plan->scalars = scalars;
    plan->way = FMC_SMALL;
    return true;
}

static bool plan_tier(fmc_model *model, const fmc_tier *tier, fmc_tier_plan *plan)
{
    static const uint8_t NOTHING[8];
    bool shared = !tier->raw && tier->subspaces == 1 && tier->tables[0].rows == 1;
    plan->int8 = tier->int8;
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
    plan->stride = shared ? 0 : model->dim * (tier->int8 ? 1U : 2U);
    plan->way = model->dim % FMC_LANES == 0 && model->dim <= FMC_BLOCK ? FMC_WHOLE : FMC_PARTS;
    /* Categories that take no byte of the file get none here: a file may have any number of them. */
    bool stored = plan->stride != 0 || tier->linear_raw || tier->row_bits != 0;
    return plan->way == FMC_PARTS || tier->categories > FEW_ROWS || !stored || plan_scalars(model, tier, plan);
}

/* Counts the categories of each tier before each word of the stream. */
static bool plan_places(fmc_model *model, const fmc_field *field, fmc_field_plan *plan)
{
    if (field->tier_count < 2) return true;
    size_t words = (size_t)((field->tier_bytes + 7) / 8);
    uint32_t *before = fmc_allocate(model, words * field->tier_count, sizeof *before), counts[FMC_MAX_TIERS] = {0};
    if (before == NULL) return false;
    for (size_t word = 0; word < words; word++) {
        uint64_t bits = fmc_load64(field->tier_stream + 8 * word, field->tier_stream + field->tier_bytes);
        for (uint32_t tier = 0; tier < field->tier_count; tier++) {
            before[word * field->tier_count + tier] = counts[tier];
            counts[tier] += (uint32_t)__builtin_popcountll(fmc_matching(bits, tier, field->tier_bits));
        }
    }
    plan->before = before;
    return true;
}

static bool plan_field(fmc_model *model, const fmc_field *field, fmc_field_plan *plan)
{
    plan->field = field;
    if (!plan_places(model, field, plan)) return false;
    for (uint32_t t = 0; t < field->tier_count; t++)
        if (!plan_tier(model, &field->tiers[t], &plan->tiers[t])) return false;
    return true;
}

static bool is_far(const fmc_tier_plan *tier, uint64_t categories)
{
    return categories * (8 * (tier->stride + tier->linear_stride) + tier->row_bits) > 8 * NEAR_BYTES;
}

static void plan_fetches(const fmc_step *step, fmc_fetch *fetches, uint32_t *count)
{
    const fmc_tier_plan *tier = &step->tier;
    uint64_t cardinality = (uint64_t)step->cardinality;
    if (!is_far(tier, cardinality)) return;
    if (tier->row_bits != 0) fetches[(*count)++] = (fmc_fetch){step->id, cardinality, tier->codes, tier->row_bits};
    if (tier->stride != 0) fetches[(*count)++] = (fmc_fetch){step->id, cardinality, tier->rows, 8 * tier->stride};
    if (tier->linear_stride != 0) fetches[(*count)++] = (fmc_fetch){step->id, cardinality, tier->linear, 8 * tier->linear_stride};
}

/* Ids that are looked up in the same way get the same number. */
static int kind_of(const fmc_step *step)
{
    if (step->field->before != NULL || step->tier.way == FMC_PARTS) return 2 * FMC_PARTS;
    return 2 * (int)step->tier.way + step->tier.int8;
}

/* Puts the ids in the order of their kinds. */
static bool plan_steps(fmc_model *model, fmc_plan *plan, const fmc_field_plan *fields)
{
    enum { KINDS = 2 * FMC_PARTS + 1 };
    fmc_step *steps = fmc_allocate(model, model->id_count, sizeof *steps);
    fmc_run *runs = fmc_allocate(model, KINDS, sizeof *runs);
    fmc_fetch *fetches = fmc_allocate(model, 3 * model->id_count, sizeof *fetches);
    uint32_t *tiered = fmc_allocate(model, model->id_count, sizeof *tiered), count = 0;
    if (steps == NULL || runs == NULL || fetches == NULL || tiered == NULL) return false;
    for (int kind = 0; kind < KINDS; kind++) {
        uint32_t first = count;
        for (uint32_t id = 0; id < model->id_count; id++) {
            const fmc_field_plan *field = &fields[model->ids[id].field - model->fields];
            fmc_step step = {id, field->field->cardinality, field->field->pad, field, field->tiers[0]};
            if (kind_of(&step) != kind) continue;
            if (field->before == NULL)
                plan_fetches(&step, fetches, &plan->fetch_count);
            else if (field->field->tier_bytes > NEAR_BYTES / 8)
                tiered[plan->tiered_count++] = count;
            steps[count++] = step;
        }
        if (count > first) runs[plan->run_count++] = (fmc_run){first, count, (fmc_way)(kind / 2), kind % 2 != 0};
    }
    plan->steps = steps;
    plan->runs = runs;
    plan->fetches = fetches;
    plan->tiered = tiered;
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
    if (!fits || !plan_steps(model, plan, fields)) return fmc_fail(FMC_NO_MEMORY, message, "memory is not enough");
    model->plan = plan;
    return FMC_OK;
}
