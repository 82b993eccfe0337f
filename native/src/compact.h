/* A compact file: what a plain one holds, in fewer bytes. Opened, it is what a plain one is. */
#ifndef FMC_COMPACT_H
#define FMC_COMPACT_H

#include "container.h"
#include "model.h"
#include "text.h"

/* Whether a file looks like a compact one. */
bool fmc_is_compact(const uint8_t *bytes, size_t size);

/* Unpacks a file into tensors, in memory of the model's own, and into metadata, as a plain file has them. The text must be
 * freed by the caller, whether this fails or not. Numbers and codes are still to be checked. */
fmc_status fmc_unpack(fmc_model *model, const uint8_t *bytes, size_t size, bool sealed, fmc_text *metadata, fmc_tensor *tensors,
                      char *message);

#endif
