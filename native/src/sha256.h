/* SHA-256 (FIPS 180-4), with the processor's own instructions for it where there are some. */
#ifndef FMC_SHA256_H
#define FMC_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64]; /* what does not fill a block yet */
} fmc_sha256_state;

void fmc_sha256_start(fmc_sha256_state *hash);
void fmc_sha256_add(fmc_sha256_state *hash, const void *bytes, size_t size);
/* Writes 64 lower-case hex digits and a zero. */
void fmc_sha256_end(fmc_sha256_state *hash, char *hex);

/* Takes whole blocks of 64 bytes: in portable C, and in the fastest way that there is here. */
void fmc_sha256_portable(uint32_t *state, const uint8_t *bytes, size_t blocks);
void fmc_sha256_blocks(uint32_t *state, const uint8_t *bytes, size_t blocks);

#endif
