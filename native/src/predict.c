/* Scoring a batch: what is wrong with it, and splitting it over threads. */
#include "plan.h"
#include "score.h"
#include "status.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    MOST_THREADS = 256,
    LEAST_ROWS = 512, /* of a thread: fewer take less time than starting it */
    PIECES = 4, /* for each thread, or more */
    LEAST_PIECE = 128,
    MOST_PIECE = 2048
};

/* Says what is wrong with the bags of a row; FMC_OK where nothing is. */
static fmc_status check_bags(const fmc_batch *batch, size_t row, char *message)
{
    const fmc_model *model = batch->model;
    for (size_t i = 0; batch->bags != NULL && i < model->id_count; i++) {
        const fmc_bag *bag = &batch->bags[i];
        if (bag->starts == NULL) continue;
        const char *name = model->ids[i].name;
        int64_t beside = fmc_id_at(fmc_ids_of(batch, row), i, batch->wide), pad = model->ids[i].field->pad;
        int64_t first = bag->starts[row], last = bag->starts[row + 1], most = model->ids[i].field->cardinality - 1;
        if (first < 0 || last < first || (uint64_t)last > bag->count)
            return fmc_fail(FMC_WRONG_DATA, message, "row %zu, field '%s': its bag starts at %lld and ends at %lld", row, name,
                            (long long)first, (long long)last);
        if (beside != -1 && beside != pad)
            return fmc_fail(FMC_WRONG_DATA, message, "row %zu, field '%s': id %lld is given beside a bag, expected -1", row, name,
                            (long long)beside);
        for (size_t at = (size_t)first; at < (size_t)last; at++) {
            int64_t id = fmc_id_at(bag->ids, at, batch->wide);
            if (id < -1 || id > most)
                return fmc_fail(FMC_WRONG_DATA, message, "row %zu, field '%s': id %lld is out of range, expected 0 to %lld", row, name,
                                (long long)id, (long long)most);
            if (bag->weights != NULL && !isfinite(bag->weights[at]))
                return fmc_fail(FMC_WRONG_DATA, message, "row %zu, field '%s': weight is %g, expected a finite number in fp32", row,
                                name, (double)bag->weights[at]);
        }
    }
    return FMC_OK;
}

fmc_status fmc_wrong_row(const fmc_batch *batch, size_t first, size_t last, char *message)
{
    const fmc_model *model = batch->model;
    for (size_t row = first; row < last; row++) {
        for (size_t i = 0; i < model->id_count; i++) {
            int64_t id = fmc_id_at(fmc_ids_of(batch, row), i, batch->wide), most = model->ids[i].field->cardinality - 1;
            if (id < -1 || id > most)
                return fmc_fail(FMC_WRONG_DATA, message,
                                "row %zu, field '%s': id %lld is out of range, expected 0 to %lld", row, model->ids[i].name,
                                (long long)id, (long long)most);
        }
        FMC_TRY(check_bags(batch, row, message));
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

/* Rows that threads take piece by piece: one that starts late, or shares its core, does less. */
typedef struct {
    const fmc_batch *batch;
    fmc_score *score;
    size_t rows, piece;
    atomic_size_t next; /* first row that nobody has taken */
} shared_rows;

/* What one thread does, and those that it starts. */
typedef struct {
    shared_rows *rows;
    unsigned threads;
    fmc_status status;
    size_t wrong; /* where the piece begins that has the wrong row */
    char message[FMC_MESSAGE_BYTES];
} share;

static void score_pieces(share *own)
{
    shared_rows *all = own->rows;
    own->status = FMC_OK;
    for (;;) {
        size_t first = atomic_fetch_add(&all->next, all->piece);
        if (first >= all->rows) return;
        size_t last = all->rows - first < all->piece ? all->rows : first + all->piece;
        own->status = all->score(all->batch, first, last, own->message);
        if (own->status == FMC_OK) continue;
        own->wrong = first;
        atomic_store(&all->next, all->rows); /* pieces before this one have been taken: what is wrong there is still found */
        return;
    }
}

static void *score_share(void *of);

/* Scores here and in other threads, each of which starts half of those that are left: so nothing is allocated for them. */
static void score_split(share *own)
{
    if (own->threads <= 1) {
        score_pieces(own);
        return;
    }
    share left = {.rows = own->rows, .threads = own->threads - own->threads / 2};
    share right = {.rows = own->rows, .threads = own->threads / 2};
    pthread_t thread;
    bool started = pthread_create(&thread, NULL, score_share, &right) == 0; /* if none is to be had, the others do it all */
    score_split(&left);
    if (started) pthread_join(thread, NULL);
    const share *wrong = right.status != FMC_OK && (left.status == FMC_OK || right.wrong < left.wrong) ? &right : &left;
    own->status = wrong->status;
    own->wrong = wrong->wrong;
    if (own->status != FMC_OK) memcpy(own->message, wrong->message, sizeof own->message);
}

static void *score_share(void *of)
{
    score_split(of);
    return NULL;
}

/* Checks where bags begin and end, and that there are none where there must not be. */
static fmc_status check_ends(const fmc_model *model, const fmc_bag *bags, size_t rows, char *message)
{
    for (size_t i = 0; i < model->id_count; i++) {
        const fmc_bag *bag = &bags[i];
        const char *name = model->ids[i].name;
        if (bag->starts == NULL) continue;
        if (model->ids[i].pooling == NULL)
            return fmc_fail(FMC_WRONG_CALL, message, "field '%s' has a bag, but one value in a row at most", name);
        if (bag->ids == NULL && bag->count != 0)
            return fmc_fail(FMC_WRONG_CALL, message, "the ids of the bag of field '%s' are NULL", name);
        if (bag->starts[0] != 0)
            return fmc_fail(FMC_WRONG_DATA, message, "row 0, field '%s': its bag starts at %lld, expected 0", name,
                            (long long)bag->starts[0]);
        if ((uint64_t)bag->starts[rows] != bag->count)
            return fmc_fail(FMC_WRONG_DATA, message, "row %zu, field '%s': its bag ends at %lld, expected %zu", rows - 1, name,
                            (long long)bag->starts[rows], bag->count);
    }
    return FMC_OK;
}

static fmc_status predict(const fmc_model *model, const void *ids, bool wide, const double *values, const fmc_bag *bags, size_t rows,
                          unsigned threads, float *predictions, char *message)
{
    if (model == NULL) return fmc_fail(FMC_WRONG_CALL, message, "the model is NULL");
    if (rows == 0) return FMC_OK;
    if (ids == NULL || predictions == NULL) return fmc_fail(FMC_WRONG_CALL, message, "ids or predictions are NULL");
    if (values == NULL && model->numeric_count != 0)
        return fmc_fail(FMC_WRONG_CALL, message, "values are NULL, expected those of %zu numeric fields", model->numeric_count);
    if (bags != NULL) FMC_TRY(check_ends(model, bags, rows, message));
    fmc_batch batch = {model, ids, wide, values, bags, predictions};
    size_t useful = (rows + LEAST_ROWS - 1) / LEAST_ROWS;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > useful) threads = (unsigned)useful;
    if (threads <= 1) return model->plan->score(&batch, 0, rows, message);
    size_t piece = rows / threads / PIECES;
    if (piece < LEAST_PIECE) piece = LEAST_PIECE;
    shared_rows all = {.batch = &batch, .score = model->plan->score, .rows = rows, .piece = piece < MOST_PIECE ? piece : MOST_PIECE};
    share own = {.rows = &all, .threads = threads};
    score_split(&own);
    return own.status == FMC_OK ? FMC_OK : fmc_fail(own.status, message, "%s", own.message);
}

fmc_status fmc_predict_i64(const fmc_model *model, const int64_t *ids, const double *values, size_t rows, unsigned threads,
                           float *predictions, char *message)
{
    return predict(model, ids, true, values, NULL, rows, threads, predictions, message);
}

fmc_status fmc_predict_i32(const fmc_model *model, const int32_t *ids, const double *values, size_t rows, unsigned threads,
                           float *predictions, char *message)
{
    return predict(model, ids, false, values, NULL, rows, threads, predictions, message);
}

fmc_status fmc_predict_bags_i64(const fmc_model *model, const int64_t *ids, const double *values, const fmc_bag *bags, size_t rows,
                                unsigned threads, float *predictions, char *message)
{
    return predict(model, ids, true, values, bags, rows, threads, predictions, message);
}

fmc_status fmc_predict_bags_i32(const fmc_model *model, const int32_t *ids, const double *values, const fmc_bag *bags, size_t rows,
                                unsigned threads, float *predictions, char *message)
{
    return predict(model, ids, false, values, bags, rows, threads, predictions, message);
}
