/* What scoring prepares when a model is opened. */
#ifndef FMC_PLAN_H
#define FMC_PLAN_H

#include "model.h"

/* Prepares a model for scoring: everything in it is in place and checked. */
fmc_status fmc_make_plan(fmc_model *model, char *message);

#endif
