#include "compact_header.h"

#include "bits.h"
#include "decimal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 3, MOST_FIELDS = 1 << 25, PROVENANCE = 1, NETWORK = 2, VOCABULARY = 4, FLAGS = 7 };
enum { KIND = 3, HAS_PAD = 4, HAS_POOLING = 8, TIERS_SHIFT = 4, CODED_STREAM = 0x40, UNUSED = 0x80 };
enum { EACH = 0x33, SCALES = 3 };
enum { CODED_CODES = 0x20, CODED_TABLES = 0x40, CODED_LINEAR = 0x80, FORM_SHIFT = 3 };
enum { RAW, EQUAL, POWERS, LISTED, REST = 15, REST_LISTED = 0 };
enum { MOST_SIZES_BYTES = 2 * FMC_MAX_SUBSPACES + 1, CODED_LAYER = 0x40, NUMBERS = 8 };

/* A place in the list of fields. */
typedef struct {
    const uint8_t *name;
    size_t size;
} place;

static size_t put_varint(uint8_t *into, uint32_t number)
{
    size_t size = 0;
    for (; number >= 0x80; number >>= 7) into[size++] = (uint8_t)(number | 0x80);
    into[size++] = (uint8_t)number;
    return size;
}

/* Writes numbers of codewords in the one way that there is, and returns its form. */
static uint32_t write_sizes(const fmc_quantizer *quantizer, uint8_t *into, size_t *size)
{
    const uint16_t *sizes = quantizer->codewords;
    uint32_t count = quantizer->subspaces, ones = 0, digits = 0;
    bool powers = true, equal = true;
    *size = 0;
    if (count == 0) return RAW;
    for (uint32_t d = 0; d < count; d++) {
        powers &= (sizes[d] & (sizes[d] - 1)) == 0;
        equal &= sizes[d] == sizes[0];
        ones = sizes[d] == 1 ? ones + 1 : 0;
    }
    if (powers && equal) return into[(*size)++] = (uint8_t)fmc_code_bits(sizes[0]), EQUAL;
    uint32_t told = ones > 1 ? count - ones : count;
    if (!powers) {
        for (uint32_t d = 0; d < told; d++) *size += put_varint(into + *size, sizes[d]);
        if (ones > 1) into[(*size)++] = REST_LISTED;
        return LISTED;
    }
    for (uint32_t d = 0; d < told + (ones > 1); d++, digits++) {
        uint32_t digit = d < told ? fmc_code_bits(sizes[d]) : REST;
        if (digits % 2 == 0) into[(*size)++] = (uint8_t)digit;
        else into[*size - 1] = (uint8_t)(into[*size - 1] | digit << 4);
    }
    return POWERS;
}

static bool take_sizes(fmc_reader *reader, uint32_t form, fmc_quantizer *found)
{
    uint32_t high = 0;
    bool half = false;
    uint64_t equal = form == EQUAL ? fmc_take_byte(reader) : 0;
    if (equal > 12) return false;
    for (uint32_t d = 0; d < found->subspaces; d++) {
        uint64_t size = (uint64_t)1 << equal;
        if (form == LISTED) {
            size = fmc_take_varint(reader);
        } else if (form == POWERS) {
            uint32_t byte = half ? high : fmc_take_byte(reader);
            high = byte >> 4;
            half = !half;
            size = (byte & REST) == REST ? 0 : (uint64_t)1 << (byte & REST);
        }
        if (reader->failed || size > FMC_MAX_CODEWORDS) return false;
        if (size == 0) {
            for (; d < found->subspaces; d++) found->codewords[d] = 1;
            break;
        }
        found->codewords[d] = (uint16_t)size;
    }
    return !reader->failed;
}

static bool take_quantizer(fmc_reader *reader, fmc_compact_tier *found)
{
    static const uint8_t number_bytes[NUMBERS] = {1, 1, 1, 1, 1, 1, 2, 4}, integer_bits[NUMBERS] = {2, 3, 4, 5, 6, 8, 0, 0};
    uint8_t first = fmc_take_byte(reader), again[MOST_SIZES_BYTES];
    uint32_t form = first >> FORM_SHIFT & 3;
    uint64_t linear = fmc_take_varint(reader), count = form == RAW ? 0 : fmc_take_varint(reader);
    fmc_quantizer *quantizer = &found->quantizer;
    if (linear > FMC_MAX_CODEWORDS || (form != RAW && (count < 1 || count > FMC_MAX_SUBSPACES))) return false;
    quantizer->subspaces = (uint32_t)count;
    quantizer->linear_codewords = (uint32_t)linear;
    quantizer->number_bytes = number_bytes[first % NUMBERS];
    found->integer_bits = integer_bits[first % NUMBERS];
    found->codes = first & CODED_CODES;
    found->tables = first & CODED_TABLES;
    found->linear = first & CODED_LINEAR;
    const uint8_t *start = reader->at;
    size_t size;
    if (!take_sizes(reader, form, quantizer) || write_sizes(quantizer, again, &size) != form) return false;
    if (size != (size_t)(reader->at - start) || memcmp(start, again, size) != 0) return false;
    return found->integer_bits != 0 || !(found->tables || found->linear);
}

static bool take_pooling(fmc_reader *reader, const fmc_pooling **found)
{
    static const char *const names[SCALES][SCALES] = {
        {"sum", "sum/mean", "sum/sqrtn"}, {"mean/sum", "mean", "mean/sqrtn"}, {"sqrtn/sum", "sqrtn/mean", "sqrtn"},
    };
    uint8_t byte = fmc_take_byte(reader);
    if (byte != EACH && ((byte & 15) >= SCALES || byte >> 4 >= SCALES)) return false;
    *found = fmc_pooling_of(byte == EACH ? "each" : names[byte & 15][byte >> 4]);
    return true;
}

static bool take_table(fmc_reader *reader, uint8_t kind, fmc_compact_field *found)
{
    found->tier_count = 1 + (kind >> TIERS_SHIFT & 3);
    found->coded_stream = kind & CODED_STREAM;
    found->cardinality = fmc_take_varint(reader);
    found->has_pad = kind & HAS_PAD;
    if (found->has_pad) found->pad = fmc_take_varint(reader);
    uint64_t rest = found->cardinality;
    for (uint32_t tier = 0; tier + 1 < found->tier_count; tier++) {
        found->sizes[tier] = fmc_take_varint(reader);
        if (found->sizes[tier] < 1 || found->sizes[tier] > rest) return false;
        rest -= found->sizes[tier];
    }
    found->sizes[found->tier_count - 1] = rest;
    if (reader->failed || rest < 1 || kind & UNUSED || (found->coded_stream && found->tier_count == 1)) return false;
    for (uint32_t tier = 0; tier < found->tier_count; tier++)
        if (!take_quantizer(reader, &found->tiers[tier])) return false;
    return true;
}

bool fmc_read_compact_field(fmc_reader *reader, fmc_compact_field *found)
{
    static const fmc_field_kind kinds[] = {FMC_TABLE, FMC_SHARING, FMC_EMBEDDED, FMC_LINEAR_ONLY};
    uint64_t size = fmc_take_varint(reader);
    found->name = fmc_take(reader, size);
    found->name_bytes = (size_t)size;
    uint8_t kind = fmc_take_byte(reader);
    found->kind = kinds[kind & KIND];
    found->pooling = NULL;
    if (reader->failed || !fmc_utf8_check(found->name, found->name_bytes)) return false;
    if (kind & HAS_POOLING && !take_pooling(reader, &found->pooling)) return false;
    if (found->kind == FMC_TABLE) return take_table(reader, kind, found);
    if ((kind & ~(KIND | (found->kind == FMC_SHARING ? HAS_POOLING : 0))) != 0) return false;
    if (found->kind == FMC_SHARING) found->table = fmc_take_varint(reader);
    return !reader->failed;
}

static void tell_quantizer(fmc_text *text, const fmc_compact_tier *tier)
{
    const fmc_quantizer *quantizer = &tier->quantizer;
    const char *suffix = quantizer->number_bytes == 1 ? ":8" : quantizer->number_bytes == 4 ? ":32" : "";
    uint8_t ignored[MOST_SIZES_BYTES];
    size_t size;
    uint32_t form = write_sizes(quantizer, ignored, &size), count = quantizer->subspaces;
    bool equal = true;
    for (uint32_t d = 1; d < count; d++) equal &= quantizer->codewords[d] == quantizer->codewords[0];
    if (count == 0) fmc_append(text, "\"raw");
    else if (count == 1 && quantizer->codewords[0] == 1) fmc_append(text, "\"shared");
    else if (equal) fmc_append(text, "\"%ux%u", count, quantizer->codewords[0]);
    else fmc_append(text, form == POWERS ? "\"b" : "\"");
    for (uint32_t d = 0; !equal && d < count; d++) {
        if (form == POWERS) fmc_append(text, "%x", fmc_code_bits(quantizer->codewords[d]));
        else fmc_append(text, d == 0 ? "%u" : ",%u", quantizer->codewords[d]);
    }
    fmc_append(text, "%s\",", suffix);
    if (quantizer->linear_codewords == 0) fmc_append(text, "\"raw\",0");
    else if (quantizer->linear_codewords == 1) fmc_append(text, "\"shared\",0");
    else fmc_append(text, "\"%u\",0", quantizer->linear_codewords);
}

static void tell_table(fmc_text *text, const fmc_compact_field *field)
{
    fmc_append(text, field->has_pad ? "[%llu,%llu]," : "%llu,", (unsigned long long)field->cardinality, (unsigned long long)field->pad);
    if (field->tier_count == 1) {
        tell_quantizer(text, &field->tiers[0]);
        return;
    }
    for (uint32_t tier = 0; tier < field->tier_count; tier++) {
        fmc_append(text, "%s[%llu,", tier == 0 ? "[" : ",", (unsigned long long)field->sizes[tier]);
        tell_quantizer(text, &field->tiers[tier]);
        fmc_append(text, "]");
    }
    fmc_append(text, "]");
}

static void tell_field(fmc_text *text, const fmc_compact_field *field, const place *fields)
{
    static const char *const kinds[] = {[FMC_TABLE] = "cat", [FMC_SHARING] = "as", [FMC_EMBEDDED] = "num", [FMC_LINEAR_ONLY] = "lin"};
    fmc_append(text, "[");
    fmc_append_json(text, field->name, field->name_bytes);
    fmc_append(text, ",\"%s%s%s\"", kinds[field->kind], field->pooling == NULL ? "" : ":", field->pooling == NULL ? "" : field->pooling->name);
    if (field->kind == FMC_TABLE || field->kind == FMC_SHARING) fmc_append(text, ",");
    if (field->kind == FMC_TABLE) tell_table(text, field);
    if (field->kind == FMC_SHARING) fmc_append_json(text, fields[field->table].name, fields[field->table].size);
    fmc_append(text, "]");
}

/* Reads all fields twice, as a field may share the table of a later one, and tells of them. */
static bool tell_fields(fmc_reader *reader, fmc_compact_header *found, fmc_text *text)
{
    fmc_compact_field *field = malloc(sizeof *field);
    place *places = found->field_count > SIZE_MAX / sizeof *places ? NULL : malloc((size_t)found->field_count * sizeof *places);
    bool fine = true;
    text->failed |= field == NULL || places == NULL;
    found->fields = *reader;
    for (uint64_t number = 0; fine && !text->failed && number < found->field_count; number++) {
        fine = fmc_read_compact_field(reader, field) && (field->kind != FMC_SHARING || field->table < found->field_count);
        places[number] = (place){field->name, field->name_bytes};
    }
    fmc_reader again = found->fields;
    for (uint64_t number = 0; fine && !text->failed && number < found->field_count; number++) {
        fmc_read_compact_field(&again, field);
        if (number > 0) fmc_append(text, ",");
        tell_field(text, field, places);
    }
    free(field);
    free(places);
    return fine && !text->failed;
}

static bool tell_link(fmc_reader *reader, uint8_t link, fmc_text *text)
{
    static const char *const names[] = {"sigmoid", "probit", "identity"};
    char low[FMC_DECIMAL_BYTES], high[FMC_DECIMAL_BYTES];
    double limits[2];
    if (link > FMC_CLIP) return false;
    if (link < FMC_CLIP) {
        fmc_append(text, ",\"link\":\"%s\"", names[link]);
        return true;
    }
    const uint8_t *at = fmc_take(reader, sizeof limits);
    if (at == NULL) return false;
    memcpy(limits, at, sizeof limits);
    if (!isfinite(limits[0]) || !isfinite(limits[1])) return false;
    fmc_write_decimal(limits[0], low);
    fmc_write_decimal(limits[1], high);
    fmc_append(text, ",\"link\":\"clip:%s:%s\"", low, high);
    return true;
}

static bool tell_layers(fmc_reader *reader, fmc_compact_header *found, fmc_text *text)
{
    static const char *const activations[] = {"identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu"};
    uint8_t kind = fmc_take_byte(reader);
    uint64_t count = fmc_take_varint(reader);
    if (kind > 1 || count > FMC_MOST_LAYERS) return false;
    found->layer_count = (uint32_t)count;
    fmc_append(text, ",\"network\":[\"%s\"", kind == 0 ? "deepfm" : "nfm");
    for (uint32_t layer = 0; layer < found->layer_count; layer++) {
        uint64_t outputs = fmc_take_varint(reader);
        uint8_t stored = fmc_take_byte(reader), activation = stored & 15, weights = stored >> 4 & 3;
        found->coded_layers[layer] = stored & CODED_LAYER;
        if (reader->failed || activation > FMC_ELU || weights > 2 || stored & UNUSED) return false;
        if (found->coded_layers[layer] && weights != 0) return false;
        fmc_append(text, ",[%llu,\"%s\",%d]", (unsigned long long)outputs, activations[activation], 8 << weights);
    }
    fmc_append(text, "]");
    return true;
}

bool fmc_read_compact_header(fmc_reader *reader, fmc_compact_header *found, fmc_text *text)
{
    uint8_t version = fmc_take_byte(reader), flags = fmc_take_byte(reader), link = fmc_take_byte(reader);
    *found = (fmc_compact_header){0};
    if (version != VERSION || flags & ~FLAGS) return false;
    fmc_append(text, "{\"budget\":0,\"method\":\"\",\"seed\":0,\"schema_version\":%d", flags & NETWORK ? 2 : 1);
    if (!tell_link(reader, link, text)) return false;
    found->bias = fmc_take(reader, sizeof(float));
    uint64_t dim = fmc_take_varint(reader);
    found->field_count = fmc_take_varint(reader);
    if (reader->failed || dim < 1 || dim > FMC_MAX_DIM) return false;
    if (found->field_count > (uint64_t)(reader->end - reader->at) || found->field_count > MOST_FIELDS) return false;
    found->dim = (uint32_t)dim;
    fmc_append(text, ",\"dim\":%u,\"fields\":[", found->dim);
    if (!tell_fields(reader, found, text)) return false;
    fmc_append(text, "]");
    if (flags & NETWORK && !tell_layers(reader, found, text)) return false;
    if (flags & PROVENANCE) fmc_take(reader, fmc_take_varint(reader));
    if (flags & VOCABULARY) found->vocabulary_bytes = fmc_take_varint(reader);
    return !reader->failed && !text->failed && (found->vocabulary_bytes > 0) == ((flags & VOCABULARY) != 0);
}
