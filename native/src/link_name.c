#include "link_name.h"

#include "decimal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool fmc_parse_link(const char *text, fmc_link_kind *link, double *low, double *high)
{
    static const char *const names[] = {"sigmoid", "probit", "identity"};
    *low = -INFINITY;
    *high = INFINITY;
    for (int kind = 0; kind < 3; kind++)
        if (strcmp(text, names[kind]) == 0) return *link = (fmc_link_kind)kind, true;
    const char *colon = strncmp(text, "clip:", 5) == 0 ? strchr(text + 5, ':') : NULL;
    if (colon == NULL) return false;
    *link = FMC_CLIP;
    *low = fmc_decimal((const uint8_t *)text + 5);
    *high = fmc_decimal((const uint8_t *)colon + 1);
    if (!isfinite(*low) || !isfinite(*high) || !(*low < *high)) return false;
    /* What was no number is not written as it was, either. */
    char lower[FMC_DECIMAL_BYTES], upper[FMC_DECIMAL_BYTES], again[2 * FMC_DECIMAL_BYTES + 8];
    fmc_write_decimal(*low, lower);
    fmc_write_decimal(*high, upper);
    snprintf(again, sizeof again, "clip:%s:%s", lower, upper);
    return strcmp(text, again) == 0;
}
