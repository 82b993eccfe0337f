/* The names of a model's fields: each is there once, and those that share a table name one that has it. */
#ifndef FMC_NAMES_H
#define FMC_NAMES_H

#include "json.h"

typedef struct {
    struct fmc_name *sorted;
    size_t count;
    uint8_t *text;
} fmc_names;

/* Collects the names of the entries of fields, which are sound one by one; they must be freed in any case. */
fmc_status fmc_read_names(fmc_json fields, fmc_names *found, char *message);

/* Returns the number of the field of this name among those with tables, SIZE_MAX where there is none. */
size_t fmc_table_of(const fmc_names *names, fmc_json name);

void fmc_free_names(fmc_names *names);

#endif
