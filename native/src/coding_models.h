/* How often symbols occur, in a few bytes: the frequencies with which codes, tiers and integers are entropy coded. */
#ifndef FMC_CODING_MODELS_H
#define FMC_CODING_MODELS_H

#include "fmcompress.h"

#include <stdbool.h>

enum {
    FMC_FREQUENCY_BITS = 14, /* all frequencies of a model add up to 2 to the power of this */
    FMC_MOST_SYMBOLS = 4096, /* of a model */
    FMC_SYMBOLS_PER_BYTE = 352 /* at most: no symbol takes less than what the largest frequency leaves, 1/44 of a bit */
};

/* Frequencies in proportion to weights: of whole numbers from 0, not all 0. */
void fmc_frequencies(const uint64_t *weights, uint32_t symbols, uint16_t *found);

/* Those of the codes of a column with K codewords, 2 at least, from their description, which lies before `end`. Returns
 * where it ends, or NULL where there is none. */
const uint8_t *fmc_code_frequencies(const uint8_t *at, const uint8_t *end, uint32_t codewords, uint16_t *found, char *message);

/* Those of the whole numbers from -largest to largest, 127 at most, from their description of one byte. */
void fmc_integer_frequencies(uint8_t described, uint32_t largest, uint16_t *found);

#endif
