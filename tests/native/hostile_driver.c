/* Opens files in every way that there is, and scores with those that open: built with sanitizers, which end it at the first
 * byte that is read outside of what it was given.
 *
 *     hostile_driver SCRATCH ISA... < FILES > FOUND
 *
 * FILES are the bytes of files, each after their number (uint32). FOUND tells of each its status with and without the seal
 * (int32), and where it opens without it, of each ISA the predictions of ROWS rows (float). test_hostile.py says which. */
#include "container.h"
#include "fmcompress.h"
#include "metadata.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 6, MANY_ROWS = 1100, CHECKED_COLUMNS = 3 };

static size_t number; /* of the file */

static void expect(int holds, const char *what, const char *message)
{
    if (holds) return;
    fprintf(stderr, "file %zu: %s (%s)\n", number, what, message);
    abort();
}

/* Bytes that end where their memory does. */
static void *exact(const void *bytes, size_t size)
{
    void *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, bytes, size);
    return copy;
}

typedef struct {
    size_t ids, values;
    int64_t *wide;
    int32_t *narrow;
    double *numbers;
    fmc_bag *bags, *narrow_bags; /* NULL where no field may have several values */
} batch;

static int64_t chosen_id(const fmc_model *model, size_t row, size_t column)
{
    int64_t cardinality = fmc_cardinality(model, column);
    switch ((row + 3 * column) % 6) {
    case 0: return 0;
    case 1: return cardinality - 1;
    case 2: return -1;
    case 3: return fmc_pad(model, column);
    case 4: return (int64_t)((row * 2654435761u + column * 40503u) % (uint64_t)cardinality);
    default: return cardinality / 2;
    }
}

/* Whether a field's values are in a bag. */
static int is_bag(const fmc_model *model, size_t column) { return fmc_pooling_name(model, column) != NULL && column % 3 != 1; }

static size_t bag_size(size_t row, size_t column) { return (row * 7 + 3 * column) % 6; }

/* Fills the bag of a field, in int64 and in int32. */
static void fill_bag(const fmc_model *model, batch *found, size_t rows, size_t column)
{
    static const float weights[3] = {0.5F, -1.25F, 2};
    int64_t *starts = malloc((rows + 1) * sizeof *starts);
    starts[0] = 0;
    for (size_t row = 0; row < rows; row++) starts[row + 1] = starts[row] + (int64_t)bag_size(row, column);
    size_t count = (size_t)starts[rows];
    int64_t *wide = malloc(count * sizeof *wide + (count == 0));
    int32_t *narrow = malloc(count * sizeof *narrow + (count == 0));
    float *weight = column % 2 == 0 ? malloc(count * sizeof *weight + (count == 0)) : NULL;
    for (size_t row = 0, at = 0; row < rows; row++)
        for (size_t value = 0; value < bag_size(row, column); value++, at++) {
            wide[at] = chosen_id(model, row + value + 1, column);
            narrow[at] = (int32_t)wide[at];
            if (weight != NULL) weight[at] = weights[value % 3];
        }
    found->bags[column] = (fmc_bag){starts, wide, weight, count};
    found->narrow_bags[column] = (fmc_bag){starts, narrow, weight, count};
}

static batch chosen(const fmc_model *model, size_t rows)
{
    static const double values[6] = {0, 1, -2.5, NAN, 0.125, 3};
    batch found = {.ids = fmc_id_count(model), .values = fmc_value_count(model)};
    found.wide = malloc(rows * found.ids * sizeof *found.wide);
    found.narrow = malloc(rows * found.ids * sizeof *found.narrow);
    found.numbers = malloc(rows * found.values * sizeof *found.numbers + (found.values == 0));
    for (size_t row = 0; row < rows; row++) {
        for (size_t column = 0; column < found.ids; column++) {
            int64_t id = !is_bag(model, column) ? chosen_id(model, row, column) : row % 2 == 0 ? -1 : fmc_pad(model, column);
            found.wide[row * found.ids + column] = id;
            found.narrow[row * found.ids + column] = (int32_t)id;
        }
        for (size_t column = 0; column < found.values; column++)
            found.numbers[row * found.values + column] = values[(row + 2 * column) % 6];
    }
    for (size_t column = 0; column < found.ids; column++) {
        if (!is_bag(model, column)) continue;
        if (found.bags == NULL) {
            found.bags = calloc(found.ids, sizeof *found.bags);
            found.narrow_bags = calloc(found.ids, sizeof *found.narrow_bags);
        }
        fill_bag(model, &found, rows, column);
    }
    return found;
}

static void release(batch *found)
{
    for (size_t column = 0; found->bags != NULL && column < found->ids; column++) {
        free((void *)found->bags[column].starts);
        free((void *)found->bags[column].ids);
        free((void *)found->bags[column].weights);
        free((void *)found->narrow_bags[column].ids);
    }
    free(found->bags);
    free(found->narrow_bags);
    free(found->wide);
    free(found->narrow);
    free(found->numbers);
}

static void score(const fmc_model *model, const batch *given, size_t rows, unsigned threads, float *predictions)
{
    char *message = malloc(FMC_MESSAGE_BYTES);
    float *again = malloc(rows * sizeof *again);
    fmc_status status = fmc_predict_bags_i64(model, given->wide, given->numbers, given->bags, rows, threads, predictions, message);
    expect(status == FMC_OK, "rows are refused", message);
    status = fmc_predict_bags_i32(model, given->narrow, given->numbers, given->narrow_bags, rows, threads, again, message);
    expect(status == FMC_OK, "rows of int32 are refused", message);
    expect(memcmp(predictions, again, rows * sizeof *again) == 0, "int32 gives other predictions", "");
    if (given->bags == NULL) {
        status = fmc_predict_i64(model, given->wide, given->numbers, rows, threads, again, message);
        expect(status == FMC_OK && memcmp(predictions, again, rows * sizeof *again) == 0, "bags of nothing change predictions", message);
    }
    free(again);
    free(message);
}

static void expect_wrong(const fmc_model *model, const batch *given, const char *what)
{
    char *message = malloc(FMC_MESSAGE_BYTES);
    float *predictions = malloc(ROWS * sizeof *predictions);
    fmc_status status = fmc_predict_bags_i64(model, given->wide, given->numbers, given->bags, ROWS, 1, predictions, message);
    expect(status == FMC_WRONG_DATA, what, status == FMC_OK ? "no message" : message);
    free(predictions);
    free(message);
}

/* Every start, id and weight of a bag that is wrong is refused. */
static void score_wrong_bags(const fmc_model *model, batch *given)
{
    for (size_t column = 0; given->bags != NULL && column < given->ids; column++) {
        fmc_bag *bag = &given->bags[column];
        if (bag->starts == NULL || bag->count == 0) continue;
        int64_t *start = (int64_t *)bag->starts + number % (ROWS + 1), *id = (int64_t *)bag->ids + number % bag->count, most = fmc_cardinality(model, column);
        const int64_t starts[] = {-1, INT64_MIN, INT64_MAX, (int64_t)bag->count + 1}, ids[] = {most, -2, INT64_MIN, INT64_MAX, most + (INT64_C(1) << 32)};
        for (size_t which = 0; which < sizeof starts / sizeof *starts; which++) {
            int64_t usual = *start;
            *start = starts[which];
            expect_wrong(model, given, "a bag that starts elsewhere is scored");
            *start = usual;
        }
        for (size_t which = 0; which < sizeof ids / sizeof *ids; which++) {
            int64_t usual = *id;
            *id = ids[which];
            expect_wrong(model, given, "an id of a bag that is out of range is scored");
            *id = usual;
        }
        const float weights[] = {INFINITY, -INFINITY, NAN};
        for (size_t which = 0; bag->weights != NULL && which < sizeof weights / sizeof *weights; which++) {
            float *weight = (float *)bag->weights + number % bag->count, usual = *weight;
            *weight = weights[which];
            expect_wrong(model, given, "a weight that is not finite is scored");
            *weight = usual;
        }
        int64_t *beside = &given->wide[(number % ROWS) * given->ids + column], usual = *beside;
        *beside = most - 1;
        if (fmc_pad(model, column) != most - 1) expect_wrong(model, given, "an id beside a bag is scored");
        *beside = usual;
    }
}

/* Every id and value that is out of range is refused. */
static void score_wrong_rows(const fmc_model *model, batch *given)
{
    for (size_t column = 0; column < given->ids && column < CHECKED_COLUMNS; column++) {
        int64_t *id = &given->wide[(number % ROWS) * given->ids + column], usual = *id;
        int64_t most = fmc_cardinality(model, column);
        const int64_t wrong[] = {most, -2, INT64_MIN, INT64_MAX, most + (INT64_C(1) << 32), -1 - (INT64_C(1) << 32)};
        for (size_t which = 0; which < sizeof wrong / sizeof *wrong; which++) {
            *id = wrong[which];
            expect_wrong(model, given, "an id out of range is scored");
        }
        *id = usual;
    }
    for (size_t column = 0; column < given->values && column < CHECKED_COLUMNS; column++) {
        double *value = &given->numbers[(number % ROWS) * given->values + column], usual = *value;
        const double wrong[] = {INFINITY, -INFINITY, 1e300};
        for (size_t which = 0; which < sizeof wrong / sizeof *wrong; which++) {
            *value = wrong[which];
            expect_wrong(model, given, "a value that is too large is scored");
        }
        *value = usual;
    }
}

/* Names and all the rest can be asked for. */
static void ask(const fmc_model *model)
{
    size_t letters = strlen(fmc_link(model)) + strlen(fmc_sha256(model)) + fmc_dim(model);
    for (size_t column = 0; fmc_id_name(model, column) != NULL; column++) letters += strlen(fmc_id_name(model, column));
    for (size_t column = 0; fmc_value_name(model, column) != NULL; column++)
        letters += strlen(fmc_value_name(model, column));
    expect(letters > 64 && fmc_resident_bytes(model) > 0, "there is nothing to be said of it", "");
}

/* Scores with a model and closes it. */
static void use(fmc_model *model, float *predictions)
{
    batch given = chosen(model, ROWS);
    score(model, &given, ROWS, 1, predictions);
    fmc_close(model);
    release(&given);
}

static void expect_same(fmc_model *model, const float *expected, const char *what)
{
    float *predictions = malloc(ROWS * sizeof *predictions);
    use(model, predictions);
    expect(memcmp(predictions, expected, ROWS * sizeof *predictions) == 0, what, "other predictions");
    free(predictions);
}

/* Which instructions are used is settled when a model is opened. */
static void use_isas(const uint8_t *bytes, size_t size, int isas, char **isa, FILE *out)
{
    for (int which = 0; which < isas; which++) {
        float *predictions = malloc(ROWS * sizeof *predictions);
        fmc_model *model;
        setenv("FMCOMPRESS_ISA", isa[which], 1);
        expect(fmc_open_memory(bytes, size, FMC_SHARED | FMC_UNSEALED, &model, NULL) == FMC_OK, "it opens once, but not again", "");
        batch given = chosen(model, ROWS);
        ask(model);
        score(model, &given, ROWS, 1, predictions);
        score_wrong_rows(model, &given);
        score_wrong_bags(model, &given);
        fwrite(predictions, sizeof *predictions, ROWS, out);
        free(predictions);
        if (number % 16 == (size_t)which) {
            batch many = chosen(model, MANY_ROWS);
            predictions = malloc(MANY_ROWS * sizeof *predictions);
            score(model, &many, MANY_ROWS, 3, predictions);
            release(&many);
            free(predictions);
        }
        release(&given);
        fmc_close(model);
    }
    unsetenv("FMCOMPRESS_ISA");
}

static void open_pieces(const uint8_t *bytes, size_t size, fmc_status expected, const float *predictions, char *message)
{
    fmc_container container;
    if (fmc_read_container(bytes, size, &container, message) != FMC_OK) return;
    const fmc_tensor *tensors = container.tensors;
    if (!container.expected || tensors[FMC_BIAS].items != 1) { /* pieces have no size of it, and no tensors of other names */
        free(container.metadata);
        return;
    }
    void *copies[FMC_TENSORS], *metadata = exact(container.metadata, container.metadata_bytes);
    for (int tensor = 0; tensor < FMC_TENSORS; tensor++)
        copies[tensor] = exact(tensors[tensor].bytes, tensors[tensor].byte_count);
    fmc_pieces pieces = {
        metadata, container.metadata_bytes, copies[FMC_BIAS], copies[FMC_NUMERIC], tensors[FMC_NUMERIC].byte_count,
        copies[FMC_VALUES], tensors[FMC_VALUES].byte_count, copies[FMC_CODES], tensors[FMC_CODES].byte_count,
    };
    fmc_model *model;
    size_t network_bytes = tensors[FMC_NETWORK].byte_count;
    fmc_status status = network_bytes == 0 ? fmc_open_pieces(&pieces, &model, message)
                                           : fmc_open_network_pieces(&pieces, copies[FMC_NETWORK], network_bytes, &model, message);
    /* Metadata with half of a surrogate pair somewhere are no UTF-8, but may be in a file. */
    if (fmc_utf8_check(container.metadata, container.metadata_bytes))
        expect(status == expected, "pieces are opened otherwise", message);
    free(metadata);
    if (status == FMC_OK) expect_same(model, predictions, "pieces");
    for (int tensor = 0; tensor < FMC_TENSORS; tensor++) free(copies[tensor]);
    free(container.metadata);
}

static void open_file(const char *scratch, const uint8_t *bytes, size_t size, fmc_status expected, const float *predictions,
                      char *message)
{
    int file = open(scratch, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size) abort();
    close(file);
    for (unsigned flags = 0; flags < 2; flags++) {
        fmc_model *model;
        fmc_status status = fmc_open(scratch, flags, &model, message);
        expect(status == (size == 0 ? FMC_UNREADABLE : expected), "a file is opened otherwise", message);
        if (status == FMC_OK) expect_same(model, predictions, "a file");
    }
}

static void open_all(const char *scratch, const uint8_t *bytes, size_t size, int isas, char **isa, FILE *out)
{
    char *message = malloc(FMC_MESSAGE_BYTES);
    float *predictions = malloc(ROWS * sizeof *predictions);
    fmc_model *model;
    int32_t found[2];
    found[0] = (int32_t)fmc_open_memory(bytes, size, FMC_SHARED, &model, message);
    if (found[0] == FMC_OK) use(model, predictions);
    expect(fmc_open_memory(bytes, size, 0, &model, message) == (fmc_status)found[0], "a copy is opened otherwise", message);
    if (found[0] == FMC_OK) expect_same(model, predictions, "a copy");
    open_file(scratch, bytes, size, (fmc_status)found[0], predictions, message);
    found[1] = (int32_t)fmc_open_memory(bytes, size, FMC_SHARED | FMC_UNSEALED, &model, message);
    expect(found[0] != FMC_OK || found[1] == FMC_OK, "what opens with its seal does not without", message);
    fwrite(found, sizeof *found, 2, out);
    if (found[1] == FMC_OK) {
        use_isas(bytes, size, isas, isa, out);
        use(model, predictions);
    }
    open_pieces(bytes, size, (fmc_status)found[1], predictions, message);
    free(predictions);
    free(message);
}

int main(int count, char **arguments)
{
    uint32_t size;
    for (; fread(&size, sizeof size, 1, stdin) == 1; number++) {
        uint8_t *bytes = malloc(size == 0 ? 1 : size); /* of nothing, one byte that is not read */
        if (bytes == NULL || fread(bytes, 1, size, stdin) != size) return 2;
        open_all(arguments[1], bytes, size, count - 2, arguments + 2, stdout);
        free(bytes);
    }
    return 0;
}
