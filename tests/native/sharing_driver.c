/* Threads share a model, and open and close it for themselves meanwhile: built with the thread sanitizer.
 *
 *     sharing_driver ARTIFACT
 */
#include "fmcompress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3000, THREADS = 6, TURNS = 5 };

static const char *path;
static fmc_model *shared;
static int64_t *ids;
static double *values;
static float expected[ROWS];

static void check(fmc_status status, const char *message)
{
    if (status == FMC_OK) return;
    fprintf(stderr, "%s\n", message);
    exit(1);
}

static void score(const fmc_model *model, unsigned threads, float *predictions)
{
    char message[FMC_MESSAGE_BYTES];
    check(fmc_predict_i64(model, ids, values, ROWS, threads, predictions, message), message);
}

static void *work(void *argument)
{
    unsigned number = *(unsigned *)argument;
    char message[FMC_MESSAGE_BYTES];
    float *found = malloc(ROWS * sizeof *found);
    for (int turn = 0; turn < TURNS; turn++) {
        fmc_model *own = NULL;
        if (number % 2 == 0) check(fmc_open(path, number % 4 == 0 ? FMC_SHARED : 0, &own, message), message);
        score(own == NULL ? shared : own, 1 + number % 3, found);
        if (memcmp(found, expected, sizeof expected) != 0) check(FMC_WRONG_DATA, "other predictions in a thread");
        fmc_close(own);
    }
    free(found);
    return NULL;
}

int main(int count, char **arguments)
{
    char message[FMC_MESSAGE_BYTES];
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    if (count != 2) return 2;
    path = arguments[1];
    check(fmc_open(path, 0, &shared, message), message);
    size_t id_count = fmc_id_count(shared), value_count = fmc_value_count(shared);
    ids = malloc(ROWS * id_count * sizeof *ids);
    values = malloc(ROWS * value_count * sizeof *values + 1);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t id = 0; id < id_count; id++)
            ids[row * id_count + id] = (int64_t)((row * 2654435761u + id * 97) % (uint64_t)fmc_cardinality(shared, id));
        for (size_t value = 0; value < value_count; value++) values[row * value_count + value] = (double)(row % 7) / 7;
    }
    score(shared, 1, expected);
    for (unsigned thread = 0; thread < THREADS; thread++) {
        numbers[thread] = thread;
        if (pthread_create(&threads[thread], NULL, work, &numbers[thread]) != 0) return 3;
    }
    for (unsigned thread = 0; thread < THREADS; thread++) pthread_join(threads[thread], NULL);
    fmc_close(shared);
    free(ids);
    free(values);
    return 0;
}
