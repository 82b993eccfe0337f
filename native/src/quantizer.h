/* How one tier of a field is stored, as its short names say. */
#ifndef FMC_QUANTIZER_H
#define FMC_QUANTIZER_H

#include "json.h"
#include "model.h"

typedef struct {
    uint16_t codewords[FMC_MAX_SUBSPACES];
    uint32_t subspaces; /* D; 0 where raw */
    uint32_t linear_codewords; /* 0 where raw */
    uint32_t number_bytes; /* of its tables: 1, 2 or 4, which says all: int8, fp16 or fp32 */
} fmc_quantizer;

/* Returns whether two names are those of a quantizer, each spelt in the one way that there is. */
bool fmc_parse_quantizer(fmc_json embedding, fmc_json linear, fmc_quantizer *found);

/* Bits of a code for one of K codewords: ⌈log2 K⌉. */
uint32_t fmc_code_bits(uint32_t codewords);

/* Bits of the codes of a row. */
uint32_t fmc_row_bits(const fmc_quantizer *quantizer);

/* Coordinates of subspace d of D: the first l mod D of them are one larger. */
uint32_t fmc_subspace_size(uint32_t dim, uint32_t subspaces, uint32_t d);

/* Numbers of the tables of embeddings, and of that of linear weights. */
uint64_t fmc_embedding_values(const fmc_quantizer *quantizer, uint64_t categories, uint32_t dim);
uint64_t fmc_linear_values(const fmc_quantizer *quantizer, uint64_t categories);

/* How many tables there are of embeddings. */
uint32_t fmc_table_count(const fmc_quantizer *quantizer);

#endif
