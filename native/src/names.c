#include "names.h"

#include "fields.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

struct fmc_name {
    const uint8_t *text; /* decoded; a zero may be part of it */
    size_t size;
    fmc_json json;
    size_t table; /* number of the field among those with tables; SIZE_MAX where it has none */
};

static int compare(const void *one, const void *other)
{
    const struct fmc_name *a = one, *b = other;
    int found = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return found != 0 ? found : (a->size > b->size) - (a->size < b->size);
}

static bool allocate(fmc_json fields, fmc_names *found)
{
    size_t count = 0, bytes = 1;
    for (fmc_json entry = fmc_json_first(fields); entry != NULL; entry = fmc_json_next(entry), count++)
        bytes += fmc_json_text_bytes(fmc_json_first(entry));
    found->sorted = calloc(count, sizeof *found->sorted);
    found->text = malloc(bytes);
    return found->sorted != NULL && found->text != NULL;
}

static fmc_status check_sharing(fmc_json fields, const fmc_names *names, char *message)
{
    for (fmc_json entry = fmc_json_first(fields); entry != NULL; entry = fmc_json_next(entry)) {
        fmc_json name = fmc_json_first(entry), kind = fmc_json_next(name);
        const fmc_pooling *pooling;
        if (fmc_read_kind(kind, &pooling) == FMC_SHARING && fmc_table_of(names, fmc_json_next(kind)) == SIZE_MAX)
            return fmc_bad_field(name, "shares the table of a field that has none", message);
    }
    return FMC_OK;
}

fmc_status fmc_read_names(fmc_json fields, fmc_names *found, char *message)
{
    *found = (fmc_names){0};
    if (!allocate(fields, found)) return fmc_fail(FMC_NO_MEMORY, message, "cannot be opened: no memory is left");
    uint8_t *text = found->text;
    size_t tables = 0;
    for (fmc_json entry = fmc_json_first(fields); entry != NULL; entry = fmc_json_next(entry)) {
        fmc_json name = fmc_json_first(entry);
        size_t size = fmc_json_decode(name, text);
        if (size == 0) return fmc_bad_field(name, "has an empty name", message);
        if (!fmc_utf8_check(text, size)) return fmc_bad_field(NULL, "has a name that is not valid Unicode", message);
        const fmc_pooling *pooling;
        bool table = fmc_read_kind(fmc_json_next(name), &pooling) == FMC_TABLE;
        found->sorted[found->count++] = (struct fmc_name){text, size, name, table ? tables++ : SIZE_MAX};
        text += size;
    }
    qsort(found->sorted, found->count, sizeof *found->sorted, compare);
    for (size_t place = 1; place < found->count; place++)
        if (compare(found->sorted + place - 1, found->sorted + place) == 0)
            return fmc_bad_field(found->sorted[place].json, "has the name of another", message);
    return check_sharing(fields, found, message);
}

size_t fmc_table_of(const fmc_names *names, fmc_json name)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct fmc_name *there = names->sorted + middle;
        int order = fmc_json_compare(name, there->text, there->size);
        if (order == 0) return there->table;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return SIZE_MAX;
}

void fmc_free_names(fmc_names *names)
{
    free(names->sorted);
    free(names->text);
    *names = (fmc_names){0};
}
