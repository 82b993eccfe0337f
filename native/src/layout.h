/* Where everything of a model lies in the tensors of an artifact. */
#ifndef FMC_LAYOUT_H
#define FMC_LAYOUT_H

#include "container.h"
#include "metadata.h"
#include "model.h"

/* How much there is of everything in the tensors of an artifact. */
typedef struct {
    uint64_t numbers, values, codes; /* of numeric weights, in fp16, and bytes of codes */
    uint64_t dense_bytes, inputs; /* bytes of the network, and numbers that it takes */
} fmc_amounts;

/* Finds that out, and whether the fields make sense together. */
fmc_status fmc_count(const fmc_metadata *metadata, fmc_amounts *found, char *message);

/* Fills a model from its metadata and tensors. Their sizes are checked before anything is allocated for them, so that a
 * model takes no more memory than its file accounts for; their numbers are not looked at. */
fmc_status fmc_lay_out(fmc_model *model, const fmc_metadata *metadata, const fmc_tensor *tensors, char *message);

#endif
