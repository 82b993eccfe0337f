/* The bytes of a file: in memory of their own, or mapped. */
#ifndef FMC_FILE_H
#define FMC_FILE_H

#include "model.h"

/* Bytes behind those of a file in memory of their own: they may be read, and are zero. */
enum { FMC_SPARE_BYTES = 64 };

/* Sets the bytes of a model to those of a regular file. Opening anything else, such as a pipe, waits for nobody. */
fmc_status fmc_take_file(fmc_model *model, const char *path, bool map, char *message);

/* Sets them to a copy. */
fmc_status fmc_take_copy(fmc_model *model, const void *bytes, size_t size, char *message);

/* Keeps the first `size` bytes of those that were read or copied, which may move. */
void fmc_shorten(fmc_model *model, size_t size);

/* Frees them, if they are the model's; it has none then. */
void fmc_drop_bytes(fmc_model *model);

#endif
