/* Scoring a batch: what is wrong with it, and splitting it over threads. */
#include "score.h"
#include "status.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

enum {
    MOST_THREADS = 256,
    LEAST_ROWS = 512 /* of a thread: fewer take less time than starting it */
};

static int64_t id_at(const fmc_batch *batch, size_t row, size_t id)
{
    size_t at = row * batch->model->id_count + id;
    return batch->wide ? ((const int64_t *)batch->ids)[at] : ((const int32_t *)batch->ids)[at];
}

fmc_status fmc_wrong_row(const fmc_batch *batch, size_t first, size_t last, char *message)
{
    const fmc_model *model = batch->model;
    for (size_t row = first; row < last; row++) {
        for (size_t i = 0; i < model->id_count; i++) {
            int64_t id = id_at(batch, row, i), most = model->ids[i].field->cardinality - 1;
            if (id < -1 || id > most)
                return fmc_fail(FMC_WRONG_DATA, message,
                                "row %zu, field '%s': id %lld is out of range, expected 0 to %lld", row, model->ids[i].name,
                                (long long)id, (long long)most);
        }
        for (size_t i = 0; i < model->numeric_count; i++) {
            double value = batch->values[row * model->numeric_count + i];
            if (fabs(value) > (double)FLT_MAX)
                return fmc_fail(FMC_WRONG_DATA, message,
                                "row %zu, field '%s': value is %g, expected a number of at most %.4g in size", row,
                                model->numeric[i].name, value, (double)FLT_MAX);
        }
    }
    return fmc_fail(FMC_WRONG_DATA, message, "the rows changed while they were scored");
}

/* What one thread does. */
typedef struct {
    const fmc_batch *batch;
    fmc_score *score;
    size_t first, last;
    unsigned threads;
    fmc_status status;
    char message[FMC_MESSAGE_BYTES];
} share;

static void *score_share(void *of);

/* Scores the first rows here and the others in a thread of their own, each part split again until there is one for each thread:
 * so nothing is allocated for them. */
static void score_split(share *own)
{
    if (own->threads <= 1) {
        own->status = own->score(own->batch, own->first, own->last, own->message);
        return;
    }
    share left = *own, right = *own;
    right.threads = own->threads / 2;
    left.threads = own->threads - right.threads;
    left.last = right.first = own->last - (own->last - own->first) / own->threads * right.threads;
    pthread_t thread;
    bool started = pthread_create(&thread, NULL, score_share, &right) == 0;
    score_split(&left);
    if (started)
        pthread_join(thread, NULL);
    else
        score_split(&right); /* no thread is to be had */
    const share *wrong = left.status != FMC_OK ? &left : &right;
    own->status = wrong->status;
    if (own->status != FMC_OK) memcpy(own->message, wrong->message, sizeof own->message);
}

static void *score_share(void *of)
{
    score_split(of);
    return NULL;
}

static fmc_status predict(const fmc_model *model, const void *ids, bool wide, const double *values, size_t rows, unsigned threads,
                          float *predictions, char *message)
{
    if (model == NULL) return fmc_fail(FMC_WRONG_CALL, message, "the model is NULL");
    if (rows == 0) return FMC_OK;
    if (ids == NULL || predictions == NULL) return fmc_fail(FMC_WRONG_CALL, message, "ids or predictions are NULL");
    if (values == NULL && model->numeric_count != 0)
        return fmc_fail(FMC_WRONG_CALL, message, "values are NULL, expected those of %zu numeric fields", model->numeric_count);
    fmc_batch batch = {model, ids, wide, values, predictions};
    size_t useful = (rows + LEAST_ROWS - 1) / LEAST_ROWS;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > useful) threads = (unsigned)useful;
    share all = {.batch = &batch, .score = fmc_best_isa()->score, .last = rows, .threads = threads};
    score_split(&all);
    return all.status == FMC_OK ? FMC_OK : fmc_fail(all.status, message, "%s", all.message);
}

fmc_status fmc_predict_i64(const fmc_model *model, const int64_t *ids, const double *values, size_t rows, unsigned threads,
                           float *predictions, char *message)
{
    return predict(model, ids, true, values, rows, threads, predictions, message);
}

fmc_status fmc_predict_i32(const fmc_model *model, const int32_t *ids, const double *values, size_t rows, unsigned threads,
                           float *predictions, char *message)
{
    return predict(model, ids, false, values, rows, threads, predictions, message);
}
