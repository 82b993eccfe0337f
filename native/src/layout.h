/* Where everything of a model lies in the tensors of an artifact. */
#ifndef FMC_LAYOUT_H
#define FMC_LAYOUT_H

#include "container.h"
#include "metadata.h"
#include "model.h"

/* Fills a model from its metadata and tensors. Their sizes are checked before anything is allocated for them, so that a
 * model takes no more memory than its file accounts for; their numbers are not looked at. */
fmc_status fmc_lay_out(fmc_model *model, const fmc_metadata *metadata, const fmc_tensor *tensors, char *message);

#endif
