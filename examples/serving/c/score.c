/* Scores rows of text: score ARTIFACT < rows > predictions
 *
 *     cc -O2 score.c -I$FMC -L$FMC -Wl,-rpath,$FMC -lfmcompress -o score
 */
#define _POSIX_C_SOURCE 200809L

#include "fmcompress.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 1024, FAILED = 2 };

/* Rows on their way to the model. */
typedef struct {
    size_t rows;
    int64_t *ids;
    double *values;
    float *predictions;
} batch;

/* Steps over what stands between two numbers. */
static char *skip(char *text)
{
    while (*text == ',' || *text == ' ' || *text == '\t' || *text == '\r' || *text == '\n') text++;
    return text;
}

/* Reads the numbers of a line into the next row of a batch. */
static bool read_row(const fmc_model *model, char *text, batch *to)
{
    size_t id_count = fmc_id_count(model), value_count = fmc_value_count(model);
    char *end;
    for (size_t id = 0; id < id_count; id++, text = end) {
        text = skip(text);
        errno = 0;
        to->ids[to->rows * id_count + id] = strtoll(text, &end, 10);
        if (errno != 0 || end == text) return false;
    }
    for (size_t value = 0; value < value_count; value++, text = end) {
        text = skip(text);
        to->values[to->rows * value_count + value] = strtod(text, &end);
        if (end == text) return false;
    }
    to->rows++;
    return *skip(text) == '\0';
}

/* Scores the rows of a batch, prints their predictions, and empties it. */
static bool score(const fmc_model *model, batch *of)
{
    char message[FMC_MESSAGE_BYTES];
    if (fmc_predict_i64(model, of->ids, of->values, of->rows, 1, of->predictions, message)) {
        fprintf(stderr, "error: %s\n", message);
        return false;
    }
    for (size_t row = 0; row < of->rows; row++) printf("%.6f\n", of->predictions[row]);
    of->rows = 0;
    return true;
}

static bool score_all(const fmc_model *model, FILE *from, batch *through)
{
    char *line = NULL;
    size_t room = 0;
    bool fine = true;
    for (size_t number = 1; fine && getline(&line, &room, from) >= 0; number++) {
        if (!read_row(model, line, through)) {
            fprintf(stderr, "error: line %zu: expected %zu ids and %zu values\n", number, fmc_id_count(model),
                    fmc_value_count(model));
            fine = false;
        } else if (through->rows == BATCH) {
            fine = score(model, through);
        }
    }
    free(line);
    return fine && score(model, through);
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fputs("usage: score ARTIFACT < rows > predictions\n", stderr);
        return FAILED;
    }
    char message[FMC_MESSAGE_BYTES];
    fmc_model *model;
    if (fmc_open(arguments[1], 0, &model, message)) {
        fprintf(stderr, "error: %s\n", message);
        return FAILED;
    }
    batch rows = {
        .ids = malloc(BATCH * fmc_id_count(model) * sizeof(int64_t)),
        .values = malloc((BATCH * fmc_value_count(model) + 1) * sizeof(double)), /* there may be none */
        .predictions = malloc(BATCH * sizeof(float)),
    };
    bool fine = rows.ids && rows.values && rows.predictions && score_all(model, stdin, &rows);
    free(rows.ids);
    free(rows.values);
    free(rows.predictions);
    fmc_close(model);
    return fine ? 0 : FAILED;
}
