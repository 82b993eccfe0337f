/* The metadata of an artifact: what it says of itself. */
#ifndef FMC_METADATA_H
#define FMC_METADATA_H

#include "json.h"
#include "link_name.h"
#include "network.h"

enum { FMC_SHA256_BYTES = 65 };

typedef struct {
    uint32_t dim;
    fmc_link_kind link;
    double low, high; /* of a clip */
    char link_text[FMC_LINK_BYTES];
    char sha256[FMC_SHA256_BYTES];
    fmc_json fields; /* a list, in the text that was read */
    bool has_network;
    fmc_network_entry network;
} fmc_metadata;

/* Reads the text of __metadata__.fmcompress, all of it but the fields. */
fmc_status fmc_read_metadata(const uint8_t *text, size_t size, fmc_metadata *found, char *message);

#endif
