/* Symbols in as few bits as their frequencies allow: decodes streams of an entropy coder, rANS with many lanes. */
#ifndef FMC_RANS_H
#define FMC_RANS_H

#include "coding_models.h"

enum { FMC_MOST_LANES = 1 << 13 };

typedef struct fmc_decoder fmc_decoder;

/* Takes symbols of some lanes at once while there are as many words as lanes; the first one is of a lane that is a multiple
 * of their number. Returns how many it has taken. */
typedef size_t fmc_decode_some(fmc_decoder *decoder, uint16_t *into, size_t count);

fmc_decode_some fmc_decode_avx2, fmc_decode_avx512;

struct fmc_decoder {
    const uint8_t *at, *end; /* words of 16 bits that are still to come */
    uint32_t lanes, lane; /* how many; the one that the next symbol is taken from */
    uint32_t states[FMC_MOST_LANES];
    uint16_t symbols[1 << FMC_FREQUENCY_BITS]; /* of each slot of the part */
    uint32_t intervals[FMC_MOST_SYMBOLS]; /* of each symbol: its frequency, and above that its first slot */
    fmc_decode_some *some; /* NULL where symbols are taken one by one */
    uint32_t width; /* how many it takes at once */
};

/* Begins with a stream, which is not empty. */
fmc_status fmc_start_decoding(fmc_decoder *decoder, const uint8_t *bytes, size_t size, char *message);

/* Begins with a part, of symbols with these frequencies. */
void fmc_start_part(fmc_decoder *decoder, const uint16_t *frequencies, uint32_t symbols);

/* Takes the next symbols of the part; false where the stream has no more. */
bool fmc_decode(fmc_decoder *decoder, uint16_t *into, size_t count);

/* Whether the stream ends where it should. */
bool fmc_decoded(const fmc_decoder *decoder);

#endif
