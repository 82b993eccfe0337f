#include "pooling.h"

#include <stddef.h>
#include <string.h>

static const fmc_pooling POOLINGS[] = {
    {"sum", FMC_SUM, FMC_SUM, false},
    {"mean", FMC_MEAN, FMC_MEAN, false},
    {"sqrtn", FMC_SQRTN, FMC_SQRTN, false},
    {"each", FMC_SUM, FMC_SUM, true},
    {"sum/mean", FMC_SUM, FMC_MEAN, false},
    {"sum/sqrtn", FMC_SUM, FMC_SQRTN, false},
    {"mean/sum", FMC_MEAN, FMC_SUM, false},
    {"mean/sqrtn", FMC_MEAN, FMC_SQRTN, false},
    {"sqrtn/sum", FMC_SQRTN, FMC_SUM, false},
    {"sqrtn/mean", FMC_SQRTN, FMC_MEAN, false},
};

const fmc_pooling *fmc_pooling_of(const char *name)
{
    for (size_t i = 0; i < sizeof POOLINGS / sizeof *POOLINGS; i++)
        if (strcmp(POOLINGS[i].name, name) == 0) return &POOLINGS[i];
    return NULL;
}
