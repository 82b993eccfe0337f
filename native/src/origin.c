#include "origin.h"

#include <stdlib.h>
#include <string.h>

enum { MEASURED = 3 }; /* the checkpoint, the artifact before tuning, the artifact */

static bool is_list_of_texts(fmc_json list)
{
    if (!fmc_json_is_list(list)) return false;
    for (fmc_json word = fmc_json_first(list); word != NULL; word = fmc_json_next(word))
        if (!fmc_json_is_text(word)) return false;
    return true;
}

/* Whether each part between ", " that is not empty has a name and a version, with one space between them. */
static bool are_versions(const uint8_t *text, size_t size)
{
    size_t spaces = 0, letters = 0;
    for (size_t at = 0; at <= size; at++) {
        bool comma = at + 1 < size && text[at] == ',' && text[at + 1] == ' ';
        if (comma || at == size) {
            if (letters > 0 && spaces != 1) return false;
            spaces = letters = 0;
            at += comma;
        } else {
            letters++;
            spaces += text[at] == ' ';
        }
    }
    return true;
}

static bool check_libraries(fmc_json found)
{
    if (fmc_json_is_text(found)) {
        uint8_t *text = malloc(fmc_json_text_bytes(found) + 1);
        bool fine = text != NULL && are_versions(text, fmc_json_decode(found, text));
        free(text);
        return fine;
    }
    if (!fmc_json_is_object(found)) return false;
    for (fmc_json name = fmc_json_first(found); name != NULL; name = fmc_json_next(fmc_json_of(name)))
        if (!fmc_json_is_text(fmc_json_of(name))) return false;
    return true;
}

/* Scores of a model: RMSE, or AUC, LogLoss and perhaps a standard error; `score` is the first one, the last ones of a
   list. */
static bool check_scores(fmc_json score, bool regression)
{
    size_t count = 0;
    for (; score != NULL; score = fmc_json_next(score), count++)
        if (!fmc_json_is_number_or_null(score)) return false;
    return regression ? count == 1 : count == 2 || count == 3;
}

static bool check_quality_list(fmc_json list, bool regression)
{
    fmc_json rows = fmc_json_first(list);
    size_t models = 0;
    int64_t ignored;
    if (rows == NULL) return false;
    for (fmc_json scores = fmc_json_next(rows); scores != NULL; scores = fmc_json_next(scores), models++) {
        if (fmc_json_is_null(scores)) continue;
        if (!fmc_json_is_list(scores) || !check_scores(fmc_json_first(scores), regression)) return false;
        if (!fmc_json_whole(rows, &ignored)) return false;
    }
    return models == MEASURED;
}

static bool check_quality(fmc_json found, bool regression)
{
    int64_t ignored;
    if (fmc_json_is_list(found)) return check_quality_list(found, regression);
    if (!fmc_json_is_object(found)) return false;
    for (fmc_json name = fmc_json_first(found); name != NULL; name = fmc_json_next(fmc_json_of(name))) {
        fmc_json figures = fmc_json_of(name);
        fmc_json rows = fmc_json_is_list(figures) ? fmc_json_first(figures) : NULL;
        if (!fmc_json_whole(rows, &ignored) || !check_scores(fmc_json_next(rows), regression)) return false;
    }
    return true;
}

bool fmc_check_origin(fmc_json metadata, bool regression)
{
    int64_t ignored;
    fmc_json source = fmc_json_member(metadata, "source"), libraries = fmc_json_member(metadata, "libraries");
    fmc_json quality = fmc_json_member(metadata, "quality"), warnings = fmc_json_member(metadata, "warnings");
    return fmc_json_whole(fmc_json_member(metadata, "budget"), &ignored) &&
           fmc_json_is_text(fmc_json_member(metadata, "method")) &&
           fmc_json_whole(fmc_json_member(metadata, "seed"), &ignored) &&
           (source == NULL || is_list_of_texts(source)) && (libraries == NULL || check_libraries(libraries)) &&
           (quality == NULL || check_quality(quality, regression)) && (warnings == NULL || is_list_of_texts(warnings));
}
