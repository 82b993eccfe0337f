/* The header of a compact file: read where it is, and told again as the metadata of a plain file, which are then read. */
#ifndef FMC_COMPACT_HEADER_H
#define FMC_COMPACT_HEADER_H

#include "byte_reader.h"
#include "fields.h"
#include "network.h"
#include "text.h"

/* A tier, and which of its parts are entropy coded. */
typedef struct {
    fmc_quantizer quantizer;
    uint32_t integer_bits; /* of a number of the embedding tables: 2 to 6, or 8; of numbers that are no integers 0 */
    bool codes, tables, linear;
} fmc_compact_tier;

/* A field. */
typedef struct {
    fmc_field_kind kind;
    const uint8_t *name;
    size_t name_bytes;
    const fmc_pooling *pooling;
    uint64_t table; /* of FMC_SHARING: the number of the field whose table it shares */
    /* of FMC_TABLE: */
    uint64_t cardinality, pad;
    bool has_pad, coded_stream;
    uint32_t tier_count;
    uint64_t sizes[FMC_MAX_TIERS];
    fmc_compact_tier tiers[FMC_MAX_TIERS];
} fmc_compact_field;

/* What the header says. */
typedef struct {
    const uint8_t *bias;
    uint32_t dim;
    uint64_t field_count;
    fmc_reader fields; /* begins with the first one; they are sound */
    uint32_t layer_count;
    bool coded_layers[FMC_MOST_LAYERS];
    uint64_t vocabulary_bytes;
} fmc_compact_header;

/* Reads a header from its schema version on, and writes what it says as the metadata of a plain file. False where it makes
 * no sense or, if the text says so, memory is lacking; what the metadata make of it is still to be seen. */
bool fmc_read_compact_header(fmc_reader *reader, fmc_compact_header *found, fmc_text *metadata);

/* Reads the next field. */
bool fmc_read_compact_field(fmc_reader *reader, fmc_compact_field *found);

#endif
