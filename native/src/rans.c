#include "rans.h"

#include "bits.h"
#include "status.h"

enum { LOWEST = 1 << 16, WORD_BITS = 16, WORD_BYTES = 2, STATE_BYTES = 4, SLOTS = 1 << FMC_FREQUENCY_BITS };

/* Chooses how symbols are taken: as many at once as the instructions allow. */
static void choose(fmc_decoder *decoder)
{
    decoder->some = NULL;
#if defined(__x86_64__)
    const char *isa = fmc_isa();
    bool widest = strcmp(isa, "avx512") == 0 && decoder->lanes >= 16;
    if (widest || (strcmp(isa, "portable") != 0 && decoder->lanes >= 8)) {
        decoder->width = widest ? 16 : 8;
        decoder->some = widest ? fmc_decode_avx512 : fmc_decode_avx2;
    }
#endif
}

fmc_status fmc_start_decoding(fmc_decoder *decoder, const uint8_t *bytes, size_t size, char *message)
{
    uint32_t bits = bytes[0] > 14 ? 14 : bytes[0];
    size_t lanes = (size_t)1 << bits, states = 1 + lanes * STATE_BYTES;
    if (size < states || (size - states) % WORD_BYTES != 0)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its codes are cut short");
    bool fine = lanes <= FMC_MOST_LANES;
    for (size_t lane = 0; fine && lane < lanes; lane++) {
        decoder->states[lane] = fmc_load32(bytes + 1 + lane * STATE_BYTES);
        fine = decoder->states[lane] >= LOWEST;
    }
    if (!fine) return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its codes cannot be decoded");
    decoder->lanes = (uint32_t)lanes;
    decoder->lane = 0;
    decoder->at = bytes + states;
    decoder->end = bytes + size;
    choose(decoder);
    return FMC_OK;
}

void fmc_start_part(fmc_decoder *decoder, const uint16_t *frequencies, uint32_t symbols)
{
    uint32_t slot = 0;
    decoder->lane = 0;
    for (uint32_t symbol = 0; symbol < symbols; symbol++) {
        uint32_t end = slot + frequencies[symbol];
        decoder->intervals[symbol] = frequencies[symbol] | slot << 16;
        while (slot < end) decoder->symbols[slot++] = (uint16_t)symbol;
    }
}

/* Takes symbols while there are as many words as symbols, so that a word may be looked at whether it is needed or not. */
static size_t decode_many(fmc_decoder *decoder, uint16_t *restrict into, size_t count)
{
    const uint16_t *restrict symbols = decoder->symbols;
    const uint32_t *restrict intervals = decoder->intervals;
    uint32_t *restrict states = decoder->states, lane = decoder->lane;
    const uint32_t mask = decoder->lanes - 1;
    const uint8_t *at = decoder->at;
    size_t words = (size_t)(decoder->end - at) / WORD_BYTES;
    if (count > words) count = words;
    for (size_t place = 0; place < count; place++) {
        uint32_t state = states[lane], slot = state & (SLOTS - 1);
        uint32_t symbol = symbols[slot], interval = intervals[symbol];
        state = (interval & 0xFFFF) * (state >> FMC_FREQUENCY_BITS) + slot - (interval >> 16);
        /* No branch, which would be taken by chance. */
        uint32_t low = state < LOWEST, filled = state << WORD_BITS | fmc_load16(at);
        states[lane] = state ^ ((state ^ filled) & (0 - low));
        at += low * WORD_BYTES;
        lane = (lane + 1) & mask;
        into[place] = (uint16_t)symbol;
    }
    decoder->at = at;
    decoder->lane = lane;
    return count;
}

static bool decode_one(fmc_decoder *decoder, uint16_t *into)
{
    uint32_t state = decoder->states[decoder->lane], slot = state & (SLOTS - 1);
    uint32_t symbol = decoder->symbols[slot], interval = decoder->intervals[symbol];
    state = (interval & 0xFFFF) * (state >> FMC_FREQUENCY_BITS) + slot - (interval >> 16);
    if (state < LOWEST) {
        if (decoder->at == decoder->end) return false;
        state = state << WORD_BITS | fmc_load16(decoder->at);
        decoder->at += WORD_BYTES;
    }
    decoder->states[decoder->lane] = state;
    decoder->lane = (decoder->lane + 1) & (decoder->lanes - 1);
    *into = (uint16_t)symbol;
    return true;
}

bool fmc_decode(fmc_decoder *decoder, uint16_t *into, size_t count)
{
    while (count > 0) {
        size_t done = 0;
        if (decoder->some != NULL && decoder->lane % decoder->width == 0) done = decoder->some(decoder, into, count);
        if (done == 0) done = decode_many(decoder, into, count);
        if (done == 0) {
            if (!decode_one(decoder, into)) return false;
            done = 1;
        }
        into += done;
        count -= done;
    }
    return true;
}

bool fmc_decoded(const fmc_decoder *decoder)
{
    bool fine = decoder->at == decoder->end;
    for (uint32_t lane = 0; lane < decoder->lanes; lane++) fine &= decoder->states[lane] == LOWEST;
    return fine;
}
