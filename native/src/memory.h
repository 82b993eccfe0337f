/* Memory that lives as long as a model: allocated while it is opened, freed with it. */
#ifndef FMC_MEMORY_H
#define FMC_MEMORY_H

#include "model.h"

/* Returns zeroed memory for `count` items of `size` bytes, at a multiple of 64 bytes; NULL where there is none, or the
 * product overflows. */
void *fmc_allocate(fmc_model *model, size_t count, size_t size);

/* Frees all of it. */
void fmc_free_blocks(fmc_model *model);

#endif
