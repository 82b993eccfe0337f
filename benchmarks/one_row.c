/* Scores rows one at a time, and prints the microseconds of one. Usage: one_row ARTIFACT IDS, ids in int64 one after the other. */
#include "fmcompress.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    char message[FMC_MESSAGE_BYTES];
    fmc_model *model;
    if (argc != 3) return fputs("usage: one_row ARTIFACT IDS\n", stderr), 2;
    if (fmc_open(argv[1], 0, &model, message)) return fprintf(stderr, "%s\n", message), 1;
    FILE *file = fopen(argv[2], "rb");
    if (file == NULL) return perror(argv[2]), 1;
    size_t fields = fmc_id_count(model), rows = 100000;
    int64_t *ids = malloc(rows * fields * sizeof *ids);
    if (ids == NULL || fread(ids, sizeof *ids, rows * fields, file) != rows * fields) return fputs("too few ids\n", stderr), 1;
    fclose(file);
    float prediction;
    double sum = 0, start = seconds();
    for (size_t row = 0; row < rows; row++) {
        if (fmc_predict_i64(model, ids + row * fields, NULL, 1, 1, &prediction, message)) return fprintf(stderr, "%s\n", message), 1;
        sum += prediction;
    }
    printf("%.4f\n", (seconds() - start) / (double)rows * 1e6);
    fmc_close(model);
    free(ids);
    return sum < 0; /* so that nothing is left out */
}
