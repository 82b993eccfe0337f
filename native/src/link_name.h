/* The name of a link: from logit to prediction. */
#ifndef FMC_LINK_NAME_H
#define FMC_LINK_NAME_H

#include "model.h"

/* Bytes that a link's name has room in. */
enum { FMC_LINK_BYTES = 80 };

/* Returns whether there is such a link, and which; of a clip also its limits. A name that says in another way what has a
 * name of its own is none. */
bool fmc_parse_link(const char *text, fmc_link_kind *link, double *low, double *high);

#endif
