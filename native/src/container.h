/* The safetensors container: where its text and its tensors lie. */
#ifndef FMC_CONTAINER_H
#define FMC_CONTAINER_H

#include "fmcompress.h"

#include <stdbool.h>

/* The tensors of an artifact, in the order of their bytes. */
typedef enum { FMC_BIAS, FMC_NUMERIC, FMC_VALUES, FMC_CODES, FMC_NETWORK, FMC_VOCABULARY, FMC_TENSORS } fmc_tensor_name;

/* A tensor; `bytes` is NULL where the file has none of this name. */
typedef struct {
    const uint8_t *bytes;
    uint64_t items;
    size_t byte_count;
} fmc_tensor;

/* What a file is made of, see docs/format.md. */
typedef struct {
    uint8_t *metadata; /* text of __metadata__.fmcompress, from malloc */
    size_t metadata_bytes;
    bool expected; /* whether the tensors are known ones, in their order: of other contents they are others */
    fmc_tensor tensors[FMC_TENSORS];
} fmc_container;

/* Reads the header of a file. Its metadata must be freed by the caller, and is NULL where this fails. */
fmc_status fmc_read_container(const uint8_t *bytes, size_t size, fmc_container *found, char *message);

/* Compares the SHA-256 of a file, its own 64 digits replaced by zeros, with that in its metadata. */
fmc_status fmc_check_seal(const uint8_t *bytes, size_t size, const char *sha256, char *message);

#endif
