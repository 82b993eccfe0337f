/* Where an artifact comes from: scoring has no use for it, but what makes no sense there is no artifact. */
#ifndef FMC_ORIGIN_H
#define FMC_ORIGIN_H

#include "json.h"

/* Returns whether budget, method, seed, source, libraries and quality of metadata make sense. */
bool fmc_check_origin(fmc_json metadata, bool regression);

#endif
