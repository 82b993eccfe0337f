/* Checks of the numbers and codes of a model, which a correct seal does not promise anything of. */
#ifndef FMC_CHECKS_H
#define FMC_CHECKS_H

#include "model.h"

/* Checks all that scoring relies on; `numeric` are the weights of numeric fields as they are stored. */
fmc_status fmc_check_numbers(const fmc_model *model, const uint8_t *numeric, size_t numeric_bytes, char *message);

#endif
