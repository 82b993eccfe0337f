/* How the values of a field with several of them in a row become one embedding and one linear weight. */
#ifndef FMC_POOLING_H
#define FMC_POOLING_H

#include <stdbool.h>

/* What a sum over m values is multiplied by: 1, 1 / m, 1 / √m. */
typedef enum { FMC_SUM, FMC_MEAN, FMC_SQRTN } fmc_scale;

typedef struct {
    const char *name;
    fmc_scale embedding, linear;
    bool each; /* every value is a term of its own: they interact with each other */
} fmc_pooling;

/* Returns the pooling of a name, as an artifact has it; NULL where there is none. */
const fmc_pooling *fmc_pooling_of(const char *name);

#endif
