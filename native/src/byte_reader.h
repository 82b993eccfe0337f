/* Bytes one after the other, as the header of a compact file has them. */
#ifndef FMC_BYTE_READER_H
#define FMC_BYTE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is still to be read. Where it has not enough, or makes no sense, `failed` is set, and zeros are read from there on. */
typedef struct {
    const uint8_t *at, *end;
    bool failed;
} fmc_reader;

/* Returns where so many bytes lie, and goes on behind them; NULL where there are not as many. */
const uint8_t *fmc_take(fmc_reader *reader, uint64_t size);

uint8_t fmc_take_byte(fmc_reader *reader);

/* A whole number below 2^63 in groups of seven bits, which has no more bytes than it needs. */
uint64_t fmc_take_varint(fmc_reader *reader);

#endif
