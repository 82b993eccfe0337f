/* An entry of a field, as the metadata tell of it. */
#ifndef FMC_FIELDS_H
#define FMC_FIELDS_H

#include "pooling.h"
#include "quantizer.h"

typedef enum { FMC_TABLE, FMC_SHARING, FMC_EMBEDDED, FMC_LINEAR_ONLY, FMC_NO_KIND } fmc_field_kind;

typedef struct {
    fmc_field_kind kind;
    fmc_json name;
    const fmc_pooling *pooling; /* of FMC_TABLE and FMC_SHARING; NULL where a row has one value at most */
    fmc_json table; /* of FMC_SHARING: name of the field whose table it shares */
    /* of FMC_TABLE: */
    int64_t cardinality;
    int64_t pad; /* -1 for none */
    uint32_t tier_count;
    int64_t sizes[FMC_MAX_TIERS];
    fmc_quantizer quantizers[FMC_MAX_TIERS];
} fmc_entry;

/* Reads a kind, and how several values are pooled; FMC_NO_KIND where it is none. */
fmc_field_kind fmc_read_kind(fmc_json kind, const fmc_pooling **pooling);

/* Reads an entry; it makes sense by itself, of other fields and of the embedding size nothing is known. */
fmc_status fmc_read_entry(fmc_json entry, fmc_entry *found, char *message);

/* Fails because of a field, whose name the message tells. */
fmc_status fmc_bad_field(fmc_json name, const char *problem, char *message);

#endif
