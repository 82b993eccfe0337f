#include "layout.h"

#include "bits.h"
#include "fields.h"
#include "memory.h"
#include "names.h"
#include "status.h"

static const uint64_t MAX_CATEGORIES = 0x7FFFFFFF;
static const uint64_t MAX_NUMERIC = 1 << 26; /* numbers in embeddings of numeric fields */

enum { FLOATS_OF_64_BYTES = 16 };

/* How much there is of everything. */
typedef struct {
    size_t fields, sharing, numeric, embedded, tiers, tables, widths, name_bytes;
    uint64_t categories, values, codes;
    uint64_t inputs; /* of the network */
} sizes;

static uint32_t width_count(const fmc_quantizer *quantizer)
{
    return quantizer->subspaces + (quantizer->linear_codewords > 0);
}

static uint64_t stream_bytes(uint64_t categories, uint32_t row_bits)
{
    return (categories * row_bits + 7) / 8;
}

static uint32_t tier_bits(uint32_t tiers)
{
    return fmc_code_bits(tiers);
}

/* No sum overflows: categories of all fields are below 2^31, rows of codes below 2^12 bits, codebooks of a tier below
 * 2^29 numbers, and tiers fewer than the bytes of a header. */
static fmc_status count_table(const fmc_entry *entry, uint32_t dim, sizes *found, char *message)
{
    found->fields++;
    found->categories += (uint64_t)entry->cardinality;
    if (found->categories > MAX_CATEGORIES) return fmc_bad_field(entry->name, "has too many categories", message);
    if (entry->tier_count > 1) found->codes += stream_bytes((uint64_t)entry->cardinality, tier_bits(entry->tier_count));
    for (uint32_t tier = 0; tier < entry->tier_count; tier++) {
        const fmc_quantizer *quantizer = &entry->quantizers[tier];
        uint64_t categories = (uint64_t)entry->sizes[tier];
        uint64_t numbers = fmc_embedding_values(quantizer, categories, dim) + fmc_linear_values(quantizer, categories);
        if (quantizer->subspaces > dim)
            return fmc_bad_field(entry->name, "has more subspaces than coordinates", message);
        found->tiers++;
        found->tables += fmc_table_count(quantizer);
        found->widths += width_count(quantizer);
        switch (quantizer->number_bytes) {
        case 1: found->values += fmc_table_count(quantizer) + 1; /* scales */
            /* fall through */
        case 4: found->codes += numbers * quantizer->number_bytes; break;
        default: found->values += numbers;
        }
        found->codes += stream_bytes(categories, fmc_row_bits(quantizer));
    }
    return FMC_OK;
}

static fmc_status count_all(const fmc_metadata *metadata, sizes *found, char *message)
{
    fmc_entry entry;
    for (fmc_json at = fmc_json_first(metadata->fields); at != NULL; at = fmc_json_next(at)) {
        FMC_TRY(fmc_read_entry(at, &entry, message));
        found->name_bytes += fmc_json_text_bytes(entry.name) + 1;
        if (metadata->has_network && entry.kind != FMC_EMBEDDED && entry.kind != FMC_LINEAR_ONLY && entry.pooling != NULL && entry.pooling->each)
            return fmc_bad_field(entry.name, "has values that are terms of their own, beside a network", message);
        if (entry.kind == FMC_TABLE) {
            FMC_TRY(count_table(&entry, metadata->dim, found, message));
        } else {
            found->sharing += entry.kind == FMC_SHARING;
            found->numeric += entry.kind != FMC_SHARING;
            found->embedded += entry.kind == FMC_EMBEDDED;
        }
    }
    if (found->fields == 0)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its metadata cannot be used (no field has categories)");
    if ((uint64_t)found->numeric * metadata->dim > MAX_NUMERIC)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its metadata cannot be used (too many numeric fields)");
    uint64_t vectors = metadata->network.concatenated ? found->fields + found->sharing + found->embedded : 1;
    found->inputs = vectors * metadata->dim + (found->numeric - found->embedded);
    return FMC_OK;
}

static fmc_amounts amounts_of(const sizes *found, const fmc_metadata *metadata)
{
    return (fmc_amounts){
        .numbers = found->numeric + (uint64_t)found->embedded * metadata->dim,
        .values = found->values,
        .codes = found->codes,
        .dense_bytes = metadata->has_network ? fmc_network_bytes(&metadata->network, found->inputs) : 0,
        .inputs = found->inputs,
    };
}

fmc_status fmc_count(const fmc_metadata *metadata, fmc_amounts *found, char *message)
{
    sizes all = {0};
    fmc_names names;
    FMC_TRY(count_all(metadata, &all, message));
    fmc_status status = fmc_read_names(metadata->fields, &names, message);
    fmc_free_names(&names);
    *found = amounts_of(&all, metadata);
    return status;
}

static fmc_status check_sizes(const sizes *found, const fmc_metadata *metadata, const fmc_tensor *tensors, char *message)
{
    fmc_amounts needed = amounts_of(found, metadata);
    if (tensors[FMC_NETWORK].items != needed.dense_bytes || tensors[FMC_BIAS].items != 1 ||
        tensors[FMC_NUMERIC].items != needed.numbers || tensors[FMC_VALUES].items != needed.values ||
        tensors[FMC_CODES].items != needed.codes)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its tensors are not those that its fields need");
    return FMC_OK;
}

/* What is filled, and how far. */
typedef struct {
    uint32_t dim;
    fmc_id *ids, *sharing;
    fmc_field *field;
    fmc_tier *tier;
    fmc_table *table;
    uint8_t *width, *name;
    fmc_numeric *numeric;
    float *embedding;
    const uint8_t *value, *code, *number;
} places;

static size_t stride_of(uint32_t dim)
{
    return (dim + (size_t)FLOATS_OF_64_BYTES - 1) / FLOATS_OF_64_BYTES * FLOATS_OF_64_BYTES;
}

static bool allocate(fmc_model *model, const sizes *found, bool has_network, places *to)
{
    size_t ids = found->fields + found->sharing;
    to->ids = fmc_allocate(model, ids, sizeof *to->ids);
    to->field = fmc_allocate(model, found->fields, sizeof *to->field);
    to->tier = fmc_allocate(model, found->tiers, sizeof *to->tier);
    to->table = fmc_allocate(model, found->tables, sizeof *to->table);
    to->width = fmc_allocate(model, found->widths, sizeof *to->width);
    to->name = fmc_allocate(model, found->name_bytes, sizeof *to->name);
    to->numeric = fmc_allocate(model, found->numeric, sizeof *to->numeric);
    to->embedding = fmc_allocate(model, found->embedded, stride_of(to->dim) * sizeof *to->embedding);
    if (to->ids == NULL || to->field == NULL || to->tier == NULL || to->table == NULL) return false;
    if (to->width == NULL || to->name == NULL || to->numeric == NULL || to->embedding == NULL) return false;
    to->sharing = to->ids + found->fields;
    if (has_network && (model->network = fmc_allocate(model, 1, sizeof *model->network)) == NULL) return false;
    model->ids = to->ids;
    model->fields = to->field;
    model->numeric = to->numeric;
    model->id_count = ids;
    model->field_count = found->fields;
    model->numeric_count = found->numeric;
    return true;
}

static const char *place_name(places *to, fmc_json name)
{
    uint8_t *at = to->name;
    to->name += fmc_json_decode(name, at);
    *to->name++ = '\0';
    return (const char *)at;
}

static fmc_table place_table(places *to, uint64_t rows, uint32_t columns, uint32_t number_bytes)
{
    fmc_table table = {to->value, rows, columns, 1};
    size_t bytes = (size_t)(rows * columns * number_bytes);
    if (number_bytes == 2) {
        to->value += bytes;
        return table;
    }
    table.numbers = to->code;
    to->code += bytes;
    if (number_bytes == 1) {
        table.scale = fmc_half(fmc_load16(to->value));
        to->value += 2;
    }
    return table;
}

static void place_widths(places *to, const fmc_quantizer *quantizer, fmc_tier *tier)
{
    tier->widths = to->width;
    tier->code_count = width_count(quantizer);
    tier->row_bits = fmc_row_bits(quantizer);
    for (uint32_t d = 0; d < quantizer->subspaces; d++) *to->width++ = (uint8_t)fmc_code_bits(quantizer->codewords[d]);
    if (!tier->linear_raw) *to->width++ = (uint8_t)fmc_code_bits(quantizer->linear_codewords);
}

static void place_tier(places *to, const fmc_quantizer *quantizer, uint64_t categories)
{
    fmc_tier *tier = to->tier++;
    tier->categories = categories;
    tier->number_bytes = quantizer->number_bytes;
    tier->raw = quantizer->subspaces == 0;
    tier->linear_raw = quantizer->linear_codewords == 0;
    tier->subspaces = fmc_table_count(quantizer);
    tier->tables = to->table;
    if (tier->raw) *to->table++ = place_table(to, categories, to->dim, tier->number_bytes);
    for (uint32_t d = 0; d < quantizer->subspaces; d++) {
        uint32_t columns = fmc_subspace_size(to->dim, quantizer->subspaces, d);
        *to->table++ = place_table(to, quantizer->codewords[d], columns, tier->number_bytes);
    }
    tier->linear = place_table(to, fmc_linear_values(quantizer, categories), 1, tier->number_bytes);
    place_widths(to, quantizer, tier);
    tier->codes = to->code;
    tier->code_bytes = stream_bytes(categories, tier->row_bits);
    to->code += tier->code_bytes;
}

static void place_field(places *to, const fmc_entry *entry)
{
    fmc_field *field = to->field++;
    field->name = place_name(to, entry->name);
    field->cardinality = entry->cardinality;
    field->pad = entry->pad;
    field->tier_count = entry->tier_count;
    field->tiers = to->tier;
    field->tier_bits = tier_bits(entry->tier_count);
    field->tier_stream = to->code;
    field->tier_bytes = stream_bytes((uint64_t)entry->cardinality, field->tier_bits);
    to->code += field->tier_bytes;
    for (uint32_t tier = 0; tier < entry->tier_count; tier++)
        place_tier(to, &entry->quantizers[tier], (uint64_t)entry->sizes[tier]);
    *to->ids++ = (fmc_id){field->name, field, entry->pooling};
}

static void place_numeric(places *to, const fmc_entry *entry)
{
    fmc_numeric *field = to->numeric++;
    field->name = place_name(to, entry->name);
    field->linear = fmc_load_float(to->number);
    to->number += sizeof field->linear;
    if (entry->kind == FMC_LINEAR_ONLY) return;
    field->embedding = memcpy(to->embedding, to->number, to->dim * sizeof(float));
    to->number += to->dim * sizeof(float);
    to->embedding += stride_of(to->dim);
}

static fmc_status place_all(places *to, const fmc_metadata *metadata, const fmc_names *names, char *message)
{
    fmc_entry entry;
    const fmc_field *fields = to->field;
    for (fmc_json at = fmc_json_first(metadata->fields); at != NULL; at = fmc_json_next(at)) {
        FMC_TRY(fmc_read_entry(at, &entry, message));
        if (entry.kind == FMC_TABLE) {
            place_field(to, &entry);
        } else if (entry.kind == FMC_SHARING) {
            const fmc_field *field = fields + fmc_table_of(names, entry.table);
            *to->sharing++ = (fmc_id){place_name(to, entry.name), field, entry.pooling};
        } else {
            place_numeric(to, &entry);
        }
    }
    return FMC_OK;
}

static void take_metadata(fmc_model *model, const fmc_metadata *metadata, const fmc_tensor *tensors, uint64_t inputs)
{
    if (model->network != NULL)
        *model->network = (fmc_network){.entry = metadata->network, .inputs = inputs, .bytes = tensors[FMC_NETWORK].bytes};
    model->dim = metadata->dim;
    model->link = metadata->link;
    model->low = metadata->low;
    model->high = metadata->high;
    memcpy(model->link_text, metadata->link_text, sizeof model->link_text);
    memcpy(model->sha256, metadata->sha256, sizeof model->sha256);
    model->bias = fmc_load_float(tensors[FMC_BIAS].bytes);
    model->values = tensors[FMC_VALUES].bytes;
    model->values_end = model->values + tensors[FMC_VALUES].byte_count;
    model->codes = tensors[FMC_CODES].bytes;
    model->codes_end = model->codes + tensors[FMC_CODES].byte_count;
}

fmc_status fmc_lay_out(fmc_model *model, const fmc_metadata *metadata, const fmc_tensor *tensors, char *message)
{
    sizes found = {0};
    FMC_TRY(count_all(metadata, &found, message));
    fmc_names names;
    places to = {.dim = metadata->dim, .value = tensors[FMC_VALUES].bytes, .code = tensors[FMC_CODES].bytes,
                 .number = tensors[FMC_NUMERIC].bytes};
    fmc_status status = fmc_read_names(metadata->fields, &names, message);
    if (status == FMC_OK) status = check_sizes(&found, metadata, tensors, message);
    if (status == FMC_OK && !allocate(model, &found, metadata->has_network, &to))
        status = fmc_fail(FMC_NO_MEMORY, message, "cannot be opened: no memory is left");
    if (status == FMC_OK) status = place_all(&to, metadata, &names, message);
    fmc_free_names(&names);
    if (status == FMC_OK) take_metadata(model, metadata, tensors, found.inputs);
    return status;
}
