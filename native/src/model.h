/* The model as it is scored: where everything lies in the bytes of an artifact. opening fills it, scoring reads it. */
#ifndef FMC_MODEL_H
#define FMC_MODEL_H

#include "fmcompress.h"
#include "pooling.h"

#include <stdbool.h>

enum { FMC_MAX_TIERS = 4, FMC_MAX_SUBSPACES = 256, FMC_MAX_CODEWORDS = 4096, FMC_MAX_DIM = 65536 };

typedef enum { FMC_SIGMOID, FMC_PROBIT, FMC_IDENTITY, FMC_CLIP } fmc_link_kind;

/* A table of numbers, row by row: fp16 or fp32 (little-endian, at any address), or int8, which have a scale. */
typedef struct {
    const uint8_t *numbers;
    uint64_t rows;
    uint32_t columns;
    float scale; /* of int8; 1 of others */
} fmc_table;

/* One tier of a field, or all of a field that is not split. */
typedef struct {
    uint64_t categories;
    uint32_t number_bytes; /* of its tables: 1, 2 or 4, which says all: int8, fp16 or fp32 */
    bool raw; /* embeddings have no code: one table of a row for each category */
    bool linear_raw; /* linear weights have no code */
    uint32_t subspaces; /* D; 1 where raw */
    const fmc_table *tables; /* D codebooks of K_d rows, or the raw table */
    fmc_table linear; /* K rows, or one for each category; 1 column */
    const uint8_t *widths; /* bits of each code of a row: D of the embedding unless raw, 1 of the linear weight unless raw */
    uint32_t code_count; /* how many that are */
    uint32_t row_bits; /* their sum */
    const uint8_t *codes; /* bit stream */
    uint64_t code_bytes;
} fmc_tier;

/* A field with a table of its own. */
typedef struct {
    const char *name;
    int64_t cardinality;
    int64_t pad; /* -1 for none */
    uint32_t tier_count;
    const fmc_tier *tiers;
    uint32_t tier_bits; /* of a category in the stream of tiers: 0, 1 or 2 */
    const uint8_t *tier_stream;
    uint64_t tier_bytes;
} fmc_field;

/* An id of a row: the field's own table, or another one's. */
typedef struct {
    const char *name;
    const fmc_field *field;
    const fmc_pooling *pooling; /* NULL where a row has one value at most */
} fmc_id;

/* A numeric field. */
typedef struct {
    const char *name;
    float linear;
    const float *embedding; /* l numbers; NULL where it enters the linear term alone */
} fmc_numeric;

/* Dense layers on top; see network.h. */
typedef struct fmc_network fmc_network;

/* What scoring prepares when a model is opened; see plan.h. */
typedef struct fmc_plan fmc_plan;

struct fmc_model {
    uint32_t dim;
    fmc_link_kind link;
    double low, high; /* of a clip */
    char link_text[80];
    char sha256[65];
    float bias;
    size_t id_count, field_count, numeric_count;
    const fmc_id *ids; /* fields with tables first, then those that share one: the order of a row's ids */
    const fmc_field *fields;
    const fmc_numeric *numeric;
    fmc_network *network; /* NULL where there is none */
    /* Bounds of all that tables and streams point into: nothing is read beyond them. */
    const uint8_t *values, *values_end, *codes, *codes_end;
    /* What is freed: the bytes that were read or mapped, if they are the model's, and all that was allocated beside. */
    void *bytes;
    size_t byte_count;
    bool mapped;
    struct fmc_block *blocks; /* see memory.h */
    size_t block_bytes;
    fmc_plan *plan;
};

#endif
