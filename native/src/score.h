/* Scoring a range of rows, once for each set of instructions. */
#ifndef FMC_SCORE_H
#define FMC_SCORE_H

#include "model.h"

/* Rows to be scored; ids are int64 where `wide`, else int32. */
typedef struct {
    const fmc_model *model;
    const void *ids;
    bool wide;
    const double *values;
    const fmc_bag *bags; /* one for each id; NULL where there are none */
    float *predictions;
} fmc_batch;

/* The ids of a row. */
static inline const void *fmc_ids_of(const fmc_batch *batch, size_t row)
{
    return (const uint8_t *)batch->ids + row * batch->model->id_count * (batch->wide ? sizeof(int64_t) : sizeof(int32_t));
}

/* One of them. */
static inline int64_t fmc_id_at(const void *ids, size_t id, bool wide)
{
    return wide ? ((const int64_t *)ids)[id] : ((const int32_t *)ids)[id];
}

typedef fmc_status fmc_score(const fmc_batch *batch, size_t first, size_t last, char *message);

typedef struct {
    const char *name;
    fmc_score *score;
    fmc_score *network; /* of models with a network on top */
} fmc_isa_entry;

fmc_score fmc_score_portable, fmc_score_avx2, fmc_score_avx512, fmc_score_neon;
fmc_score fmc_network_portable, fmc_network_avx2, fmc_network_avx512, fmc_network_neon;

/* The best that this machine has, or what FMCOMPRESS_ISA names. */
const fmc_isa_entry *fmc_best_isa(void);

/* Says which id, or which value, of some rows is wrong: the first one, row by row. */
fmc_status fmc_wrong_row(const fmc_batch *batch, size_t first, size_t last, char *message);

/* Turns logits into predictions, in place. */
void fmc_apply_link(const fmc_model *model, float *logits, size_t rows);

#endif
