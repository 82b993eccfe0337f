#include "compact.h"

#include "bits.h"
#include "compact_header.h"
#include "layout.h"
#include "memory.h"
#include "rans.h"
#include "sha256.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>

enum { LENGTH_BYTES = 8, SEAL_BYTES = 32, HEAD_BYTES = 128, NEWEST_VERSION = 3, CHUNK = 4096, LARGEST = 127 };
enum { ONE_MODEL, BY_COORDINATE, BY_TABLE };

/* Goes through the parts twice: first it counts them, then it puts them where they belong. */
typedef struct {
    fmc_reader models;
    fmc_decoder *decoder; /* NULL while it counts */
    const uint8_t *plain; /* parts as they are */
    uint64_t plain_bytes, symbols; /* what it has counted */
    uint8_t *values, *codes, *dense; /* where the next ones belong */
    uint8_t *codes_end;
    uint32_t too_large; /* where a number is above the largest of its bits: that one */
    char *message;
    uint16_t frequencies[FMC_MOST_SYMBOLS], chunk[CHUNK];
} unpacking;

static fmc_status unusable(const char *what, char *message)
{
    return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its header cannot be used (%s)", what);
}

/* Takes a part as it is. */
static void take_plain(unpacking *to, uint8_t **into, uint64_t size)
{
    to->plain_bytes += size;
    if (to->decoder == NULL) return;
    memcpy(*into, to->plain, (size_t)size);
    to->plain += size;
    *into += size;
}

/* Begins with a run of symbols that have the frequencies there are. */
static void start_run(unpacking *to, uint64_t count, uint32_t kinds)
{
    to->symbols += count;
    if (to->decoder != NULL) fmc_start_part(to->decoder, to->frequencies, kinds);
}

static void start_integers(unpacking *to, uint64_t count, uint32_t largest)
{
    uint8_t described = fmc_take_byte(&to->models);
    if (to->decoder != NULL) fmc_integer_frequencies(described, largest, to->frequencies);
    start_run(to, count, 2 * largest + 1);
}

/* Takes the next symbols of a run, a chunk of them at most. */
static fmc_status take_symbols(unpacking *to, uint64_t left, uint32_t *count)
{
    *count = left < CHUNK ? (uint32_t)left : CHUNK;
    if (fmc_decode(to->decoder, to->chunk, *count)) return FMC_OK;
    return fmc_fail(FMC_NO_ARTIFACT, to->message, "is damaged: its codes are cut short");
}

/* Puts a column of symbols into rows of bits. */
static fmc_status take_column(unpacking *to, uint64_t rows, uint64_t row_bits, uint64_t bit)
{
    uint32_t count;
    if (to->decoder == NULL) return FMC_OK;
    for (uint64_t row = 0; row < rows; row += count) {
        FMC_TRY(take_symbols(to, rows - row, &count));
        for (uint32_t place = 0; place < count; place++, bit += row_bits) {
            uint32_t word = (uint32_t)to->chunk[place] << bit % 8;
            uint8_t *at = to->codes + bit / 8;
            if (to->codes_end - at < (ptrdiff_t)sizeof word) {
                for (; at < to->codes_end; at++, word >>= 8) *at = (uint8_t)(*at | word);
                continue;
            }
            word |= fmc_load32(at);
            memcpy(at, &word, sizeof word);
        }
    }
    return FMC_OK;
}

/* Puts integers in every so manieth place. */
static fmc_status take_integers(unpacking *to, uint8_t *into, uint64_t rows, uint32_t columns, uint32_t largest)
{
    uint32_t count;
    if (to->decoder == NULL) return FMC_OK;
    for (uint64_t row = 0; row < rows; row += count) {
        FMC_TRY(take_symbols(to, rows - row, &count));
        for (uint32_t place = 0; place < count; place++, into += columns) *into = (uint8_t)(to->chunk[place] - largest);
    }
    return FMC_OK;
}

static uint64_t stream_bytes(uint64_t rows, uint64_t row_bits)
{
    return (rows * row_bits + 7) / 8;
}

static void pass(unpacking *to, uint8_t **into, uint64_t size)
{
    if (to->decoder != NULL) *into += size;
}

static fmc_status take_stream(unpacking *to, const fmc_compact_field *field)
{
    uint32_t bits = fmc_code_bits(field->tier_count);
    uint64_t size = stream_bytes(field->cardinality, bits);
    if (!field->coded_stream) return take_plain(to, &to->codes, size), FMC_OK;
    fmc_frequencies(field->sizes, field->tier_count, to->frequencies);
    start_run(to, field->cardinality, field->tier_count);
    FMC_TRY(take_column(to, field->cardinality, bits, 0));
    pass(to, &to->codes, size);
    return FMC_OK;
}

/* Takes scales: of numbers of few bits one for all embedding tables, which are repeated. */
static void take_scales(unpacking *to, const fmc_compact_tier *tier)
{
    uint32_t tables = fmc_table_count(&tier->quantizer);
    if (tier->integer_bits == 0) return;
    take_plain(to, &to->values, 2);
    for (uint32_t table = 1; tier->integer_bits == 8 && table < tables; table++) take_plain(to, &to->values, 2);
    for (uint32_t table = 1; to->decoder != NULL && tier->integer_bits < 8 && table < tables; table++, to->values += 2)
        memcpy(to->values, to->values - 2, 2);
    take_plain(to, &to->values, 2);
}

static void take_few_bits(unpacking *to, uint64_t numbers, uint32_t bits)
{
    uint64_t size = stream_bytes(numbers, bits);
    uint32_t largest = (1U << (bits - 1)) - 1, most = 0;
    to->plain_bytes += size;
    if (to->decoder == NULL) return;
    const uint8_t *end = to->plain + size;
    for (uint64_t number = 0, bit = 0; number < numbers; number++, bit += bits) {
        uint32_t symbol = (uint32_t)(fmc_load64(to->plain + bit / 8, end) >> bit % 8) & ((1U << bits) - 1);
        if (symbol > most) most = symbol;
        to->codes[number] = (uint8_t)(symbol - largest);
    }
    to->plain = end;
    to->codes += numbers;
    if (most > 2 * largest && to->too_large == 0) to->too_large = largest;
}

/* Takes coded tables: table after table, of each one coordinate after the other. */
static fmc_status take_coded_tables(unpacking *to, const fmc_compact_tier *tier, uint64_t categories, uint32_t dim)
{
    const fmc_quantizer *quantizer = &tier->quantizer;
    uint32_t largest = (1U << (tier->integer_bits - 1)) - 1;
    uint8_t mode = fmc_take_byte(&to->models);
    if (mode > BY_TABLE || to->models.failed) return unusable("models", to->message);
    if (mode == ONE_MODEL) start_integers(to, fmc_embedding_values(quantizer, categories, dim), largest);
    for (uint32_t table = 0; table < fmc_table_count(quantizer); table++) {
        bool raw = quantizer->subspaces == 0;
        uint32_t columns = raw ? dim : fmc_subspace_size(dim, quantizer->subspaces, table);
        uint64_t rows = raw ? categories : quantizer->codewords[table];
        if (mode == BY_TABLE) start_integers(to, rows * columns, largest);
        for (uint32_t column = 0; column < columns; column++) {
            if (mode == BY_COORDINATE) start_integers(to, rows, largest);
            FMC_TRY(take_integers(to, to->codes + column, rows, columns, largest));
        }
        pass(to, &to->codes, rows * columns);
    }
    return FMC_OK;
}

static fmc_status take_tables(unpacking *to, const fmc_compact_tier *tier, uint64_t categories, uint32_t dim)
{
    const fmc_quantizer *quantizer = &tier->quantizer;
    uint64_t numbers = fmc_embedding_values(quantizer, categories, dim), linear = fmc_linear_values(quantizer, categories);
    uint8_t **into = quantizer->number_bytes == 2 ? &to->values : &to->codes;
    if (tier->tables) FMC_TRY(take_coded_tables(to, tier, categories, dim));
    else if (tier->integer_bits != 0 && tier->integer_bits < 8) take_few_bits(to, numbers, tier->integer_bits);
    else take_plain(to, into, numbers * quantizer->number_bytes);
    if (!tier->linear) return take_plain(to, into, linear * quantizer->number_bytes), FMC_OK;
    start_integers(to, linear, LARGEST);
    FMC_TRY(take_integers(to, to->codes, linear, 1, LARGEST));
    pass(to, &to->codes, linear);
    return FMC_OK;
}

static fmc_status take_codes(unpacking *to, const fmc_compact_tier *tier, uint64_t categories)
{
    const fmc_quantizer *quantizer = &tier->quantizer;
    uint32_t row_bits = fmc_row_bits(quantizer), bit = 0;
    uint64_t size = stream_bytes(categories, row_bits);
    if (!tier->codes) return take_plain(to, &to->codes, size), FMC_OK;
    if (row_bits == 0) return unusable("codes that there are none of", to->message);
    for (uint32_t code = 0; code <= quantizer->subspaces; code++) {
        uint32_t codewords = code < quantizer->subspaces ? quantizer->codewords[code] : quantizer->linear_codewords;
        if (codewords < 2) continue;
        if (to->models.failed) return unusable("models", to->message);
        uint16_t *frequencies = to->decoder == NULL ? NULL : to->frequencies;
        const uint8_t *end = fmc_code_frequencies(to->models.at, to->models.end, codewords, frequencies, to->message);
        if (end == NULL) return FMC_NO_ARTIFACT;
        to->models.at = end;
        start_run(to, categories, codewords);
        FMC_TRY(take_column(to, categories, row_bits, bit));
        bit += fmc_code_bits(codewords);
    }
    pass(to, &to->codes, size);
    return FMC_OK;
}

static fmc_status take_fields(unpacking *to, const fmc_compact_header *header, fmc_compact_field *field)
{
    fmc_reader reader = header->fields;
    for (uint64_t number = 0; number < header->field_count; number++) {
        fmc_read_compact_field(&reader, field);
        if (field->kind != FMC_TABLE) continue;
        if (field->tier_count > 1) FMC_TRY(take_stream(to, field));
        for (uint32_t tier = 0; tier < field->tier_count; tier++) {
            take_scales(to, &field->tiers[tier]);
            FMC_TRY(take_tables(to, &field->tiers[tier], field->sizes[tier], header->dim));
            FMC_TRY(take_codes(to, &field->tiers[tier], field->sizes[tier]));
        }
    }
    return FMC_OK;
}

static fmc_status take_layers(unpacking *to, const fmc_compact_header *header, const fmc_network_entry *network, uint64_t inputs)
{
    for (uint32_t i = 0; i < header->layer_count; i++) {
        const fmc_layer_entry *layer = &network->layers[i];
        uint64_t weights = layer->outputs * inputs;
        take_plain(to, &to->dense, layer->outputs * (uint64_t)(layer->number_bytes == 1 ? 6 : 4)); /* biases and scales */
        if (header->coded_layers[i]) {
            start_integers(to, weights, LARGEST);
            FMC_TRY(take_integers(to, to->dense, weights, 1, LARGEST));
            pass(to, &to->dense, weights);
        } else {
            take_plain(to, &to->dense, weights * layer->number_bytes);
        }
        inputs = layer->outputs;
    }
    return to->models.failed ? unusable("models", to->message) : FMC_OK;
}

/* What is between the models and the vocabulary. */
typedef struct {
    const uint8_t *numeric, *plain, *coded;
    uint64_t numeric_bytes, coded_bytes;
} sections;

/* Counts all parts, before anything is reserved for them, and returns where they lie. */
static fmc_status count_parts(unpacking *to, const fmc_compact_header *header, const fmc_metadata *metadata, const fmc_amounts *amounts,
                              fmc_compact_field *field, sections *found)
{
    FMC_TRY(take_fields(to, header, field));
    FMC_TRY(take_layers(to, header, &metadata->network, amounts->inputs));
    uint64_t left = (uint64_t)(to->models.end - to->models.at), needed = amounts->numbers * sizeof(float) + to->plain_bytes;
    bool fits = needed <= left && header->vocabulary_bytes <= left - needed;
    found->coded_bytes = fits ? left - needed - header->vocabulary_bytes : 0;
    if (!fits || (found->coded_bytes > 0 && to->symbols == 0) || to->symbols / FMC_SYMBOLS_PER_BYTE > found->coded_bytes ||
        to->symbols > FMC_SYMBOLS_PER_BYTE * found->coded_bytes)
        return fmc_fail(FMC_NO_ARTIFACT, to->message, "is damaged: its size is not the one that its fields need");
    found->numeric = to->models.at;
    found->numeric_bytes = amounts->numbers * sizeof(float);
    found->plain = found->numeric + found->numeric_bytes;
    found->coded = found->plain + to->plain_bytes;
    return FMC_OK;
}

static fmc_status reserve(fmc_model *model, const fmc_amounts *amounts, const sections *from, const uint8_t *bias, fmc_tensor *tensors,
                          char *message)
{
    float *numbers = fmc_allocate(model, (size_t)amounts->numbers + 1, sizeof *numbers);
    uint8_t *values = fmc_allocate(model, (size_t)amounts->values, 2);
    uint8_t *codes = fmc_allocate(model, (size_t)amounts->codes, 1);
    uint8_t *dense = fmc_allocate(model, (size_t)amounts->dense_bytes, 1);
    if (numbers == NULL || values == NULL || codes == NULL || dense == NULL)
        return fmc_fail(FMC_NO_MEMORY, message, "cannot be opened: no memory is left");
    memcpy(numbers, bias, sizeof *numbers);
    if (from->numeric_bytes > 0) memcpy(numbers + 1, from->numeric, (size_t)from->numeric_bytes);
    tensors[FMC_BIAS] = (fmc_tensor){(uint8_t *)numbers, 1, sizeof *numbers};
    tensors[FMC_NUMERIC] = (fmc_tensor){(uint8_t *)(numbers + 1), amounts->numbers, (size_t)from->numeric_bytes};
    tensors[FMC_VALUES] = (fmc_tensor){values, amounts->values, 2 * (size_t)amounts->values};
    tensors[FMC_CODES] = (fmc_tensor){codes, amounts->codes, (size_t)amounts->codes};
    tensors[FMC_NETWORK] = (fmc_tensor){dense, amounts->dense_bytes, (size_t)amounts->dense_bytes};
    return FMC_OK;
}

static fmc_status decode_parts(unpacking *to, const fmc_compact_header *header, const fmc_metadata *metadata, const fmc_amounts *amounts,
                               fmc_compact_field *field, const sections *from)
{
    if (from->coded_bytes > 0) FMC_TRY(fmc_start_decoding(to->decoder, from->coded, (size_t)from->coded_bytes, to->message));
    FMC_TRY(take_fields(to, header, field));
    FMC_TRY(take_layers(to, header, &metadata->network, amounts->inputs));
    if (from->coded_bytes > 0 && !fmc_decoded(to->decoder))
        return fmc_fail(FMC_NO_ARTIFACT, to->message, "is damaged: its codes cannot be decoded");
    if (to->too_large > 0) return fmc_fail(FMC_NO_ARTIFACT, to->message, "is damaged: a number in int8 is above %u", to->too_large);
    return FMC_OK;
}

/* Where a file is unpacked to: into memory of a model, and tensors that lie there; or, where there is none, into memory that was given. */
typedef struct {
    fmc_model *model;
    fmc_tensor *tensors;
    const fmc_unpacked *given;
} target;

/* What the parts need that is too large for the stack. */
typedef struct {
    unpacking to;
    fmc_decoder decoder;
    fmc_compact_field field;
} workplace;

/* Whether memory that was given is that of the parts. */
static fmc_status check_given(const fmc_unpacked *given, const fmc_amounts *amounts, char *message)
{
    if (given->values_bytes == 2 * amounts->values && given->codes_bytes == amounts->codes && given->network_bytes == amounts->dense_bytes)
        return FMC_OK;
    return fmc_fail(FMC_WRONG_CALL, message, "the memory is not what the file needs");
}

static fmc_status unpack_parts(const target *into, fmc_reader models, const fmc_compact_header *header, const fmc_text *text,
                               workplace *place, char *message)
{
    fmc_metadata metadata;
    fmc_amounts amounts;
    sections from = {0};
    unpacking *to = &place->to;
    FMC_TRY(fmc_read_metadata(text->bytes, text->size, &metadata, message));
    FMC_TRY(fmc_count(&metadata, &amounts, message));
    *to = (unpacking){.models = models, .message = message};
    FMC_TRY(count_parts(to, header, &metadata, &amounts, &place->field, &from));
    if (into->model != NULL) FMC_TRY(reserve(into->model, &amounts, &from, header->bias, into->tensors, message));
    else FMC_TRY(check_given(into->given, &amounts, message));
    *to = (unpacking){.models = models, .message = message, .decoder = &place->decoder, .plain = from.plain};
    to->values = into->model != NULL ? (uint8_t *)into->tensors[FMC_VALUES].bytes : into->given->values;
    to->codes = into->model != NULL ? (uint8_t *)into->tensors[FMC_CODES].bytes : into->given->codes;
    to->dense = into->model != NULL ? (uint8_t *)into->tensors[FMC_NETWORK].bytes : into->given->network;
    to->codes_end = to->codes + amounts.codes;
    return decode_parts(to, header, &metadata, &amounts, &place->field, &from);
}

static const char CONTAINER[] = "{\"fmc\":{\"dtype\":\"U8\",\"shape\":[%llu],\"data_offsets\":[0,%llu]}}";

bool fmc_is_compact(const uint8_t *bytes, size_t size)
{
    return size >= LENGTH_BYTES + 7 && memcmp(bytes + LENGTH_BYTES, CONTAINER, 7) == 0;
}

/* Returns where the seal is; 0 where the header of the container is not that of so many bytes. */
static size_t start_of(const uint8_t *bytes, size_t size)
{
    char head[HEAD_BYTES];
    uint64_t length = fmc_load64(bytes, bytes + size);
    if (length >= HEAD_BYTES || length > size - LENGTH_BYTES) return 0;
    unsigned long long rest = size - LENGTH_BYTES - (size_t)length;
    int written = snprintf(head, sizeof head, CONTAINER, rest, rest);
    return (size_t)written == length && memcmp(head, bytes + LENGTH_BYTES, (size_t)length) == 0 ? LENGTH_BYTES + (size_t)length : 0;
}

/* Writes the seal, a SHA-256 of the file with zeros in its place, as digits, and returns whether it is that. */
static bool read_seal(const uint8_t *bytes, size_t size, size_t start, bool sealed, char *digits)
{
    static const uint8_t zeros[SEAL_BYTES];
    char found[2 * SEAL_BYTES + 1];
    fmc_sha256_state hash;
    for (int byte = 0; byte < SEAL_BYTES; byte++) sprintf(digits + 2 * byte, "%02x", bytes[start + (size_t)byte]);
    if (!sealed) return true;
    fmc_sha256_start(&hash);
    fmc_sha256_add(&hash, bytes, start);
    fmc_sha256_add(&hash, zeros, SEAL_BYTES);
    fmc_sha256_add(&hash, bytes + start + SEAL_BYTES, size - start - SEAL_BYTES);
    fmc_sha256_end(&hash, found);
    return strcmp(found, digits) == 0;
}

/* What the metadata made of the header is said of the header. */
static void rename_metadata(char *message)
{
    static const char before[] = "is damaged: its metadata cannot", after[] = "is damaged: its header cannot";
    if (message == NULL || strncmp(message, before, sizeof before - 1) != 0) return;
    memcpy(message, after, sizeof after - 1);
    memmove(message + sizeof after - 1, message + sizeof before - 1, strlen(message + sizeof before - 1) + 1);
}

/* Reads the header of a file whose seal fits, and unpacks the parts. */
static fmc_status unpack_sealed(const target *into, const uint8_t *bytes, size_t size, size_t start, const char *digits,
                                fmc_text *metadata, char *message)
{
    fmc_compact_header header;
    fmc_reader reader = {bytes + start + SEAL_BYTES, bytes + size, false};
    bool fine = fmc_read_compact_header(&reader, &header, metadata);
    fmc_append(metadata, ",\"sha256\":\"%s\"}", digits);
    workplace *place = malloc(sizeof *place);
    fmc_status status = FMC_NO_MEMORY;
    if (place == NULL || metadata->failed) fmc_fail(status, message, "cannot be opened: no memory is left");
    else if (!fine) status = unusable("what it says of the fields", message);
    else status = unpack_parts(into, reader, &header, metadata, place, message);
    if (status != FMC_OK) rename_metadata(message);
    free(place);
    return status;
}

static fmc_status unpack(const target *into, const uint8_t *bytes, size_t size, bool sealed, fmc_text *metadata, char *message)
{
    char digits[2 * SEAL_BYTES + 1];
    size_t start = start_of(bytes, size);
    if (start == 0)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its size is not the one in its header, or it is cut short");
    if (size - start <= SEAL_BYTES) return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: it is cut short");
    if (bytes[start + SEAL_BYTES] > NEWEST_VERSION)
        return fmc_fail(FMC_NO_ARTIFACT, message, "has schema version %d, this fmcompress reads version %d", bytes[start + SEAL_BYTES],
                        NEWEST_VERSION);
    if (!read_seal(bytes, size, start, sealed, digits))
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its SHA-256 is not the one in its header");
    return unpack_sealed(into, bytes, size, start, digits, metadata, message);
}

fmc_status fmc_unpack(fmc_model *model, const uint8_t *bytes, size_t size, bool sealed, fmc_text *metadata, fmc_tensor *tensors,
                      char *message)
{
    return unpack(&(target){model, tensors, NULL}, bytes, size, sealed, metadata, message);
}

fmc_status fmc_unpack_compact(const void *bytes, size_t size, const fmc_unpacked *into, char *message)
{
    fmc_text metadata = {0};
    if (message != NULL) message[0] = '\0';
    if (bytes == NULL || into == NULL || !fmc_is_compact(bytes, size))
        return fmc_fail(FMC_WRONG_CALL, message, "an argument is NULL, or no compact file");
    fmc_status status = unpack(&(target){NULL, NULL, into}, bytes, size, false, &metadata, message);
    free(metadata.bytes);
    return status;
}
