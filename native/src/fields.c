#include "fields.h"

#include "status.h"

#include <string.h>

enum { SHOWN_NAME = 160, KIND_BYTES = 32 };

static const int64_t MAX_CATEGORIES = 0x7FFFFFFF;

fmc_status fmc_bad_field(fmc_json name, const char *problem, char *message)
{
    uint8_t shown[SHOWN_NAME + 4] = "…";
    if (!fmc_json_is_text(name))
        shown[0] = '\0';
    else if (fmc_json_text_bytes(name) <= SHOWN_NAME)
        shown[fmc_json_decode(name, shown)] = '\0';
    return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its metadata cannot be used (field '%s' %s)",
                    (const char *)shown, problem);
}

/* Returns the next value of a list that is in `*at`, and moves on; NULL behind the last one. */
static fmc_json take(fmc_json *at)
{
    fmc_json found = *at;
    if (found != NULL) *at = fmc_json_next(found);
    return found;
}

static bool read_categories(fmc_json value, fmc_entry *found)
{
    found->pad = -1;
    if (fmc_json_is_list(value)) {
        fmc_json at = fmc_json_first(value);
        value = take(&at);
        if (!fmc_json_whole(take(&at), &found->pad) || at != NULL || found->pad < 0) return false;
    }
    return fmc_json_whole(value, &found->cardinality) && found->cardinality >= 1 &&
           found->cardinality <= MAX_CATEGORIES && found->pad < found->cardinality;
}

/* Reads what a tier is stored as: two names of quantizers and an error, the last ones of its list. */
static bool read_stored(fmc_json at, fmc_quantizer *found)
{
    fmc_json embedding = take(&at), linear = take(&at), error = take(&at);
    return at == NULL && fmc_json_is_number_or_null(error) && fmc_parse_quantizer(embedding, linear, found);
}

static bool read_tiers(fmc_json list, fmc_entry *found)
{
    int64_t rest = found->cardinality;
    found->tier_count = 0;
    for (fmc_json tier = fmc_json_first(list); tier != NULL; tier = fmc_json_next(tier)) {
        if (found->tier_count == FMC_MAX_TIERS || !fmc_json_is_list(tier)) return false;
        fmc_json at = fmc_json_first(tier);
        int64_t size;
        if (!fmc_json_whole(take(&at), &size) || size < 1 || size > rest) return false;
        if (!read_stored(at, &found->quantizers[found->tier_count])) return false;
        found->sizes[found->tier_count++] = size;
        rest -= size;
    }
    return found->tier_count > 1 && rest == 0;
}

static fmc_status read_table(fmc_json at, fmc_entry *found, char *message)
{
    if (!read_categories(take(&at), found)) return fmc_bad_field(found->name, "has categories of no sense", message);
    if (fmc_json_is_list(at) && fmc_json_next(at) == NULL) {
        if (read_tiers(at, found)) return FMC_OK;
        return fmc_bad_field(found->name, "has tiers that make no sense", message);
    }
    found->tier_count = 1;
    found->sizes[0] = found->cardinality;
    if (read_stored(at, &found->quantizers[0])) return FMC_OK;
    return fmc_bad_field(found->name, "has no quantizer of this format", message);
}

fmc_field_kind fmc_read_kind(fmc_json kind, const fmc_pooling **pooling)
{
    char text[KIND_BYTES];
    *pooling = NULL;
    if (fmc_json_equals(kind, "num")) return FMC_EMBEDDED;
    if (fmc_json_equals(kind, "lin")) return FMC_LINEAR_ONLY;
    if (!fmc_json_ascii(kind, text, sizeof text)) return FMC_NO_KIND;
    char *colon = strchr(text, ':');
    if (colon != NULL) {
        *colon = '\0';
        *pooling = fmc_pooling_of(colon + 1);
        if (*pooling == NULL) return FMC_NO_KIND;
    }
    return strcmp(text, "cat") == 0 ? FMC_TABLE : strcmp(text, "as") == 0 ? FMC_SHARING : FMC_NO_KIND;
}

fmc_status fmc_read_entry(fmc_json entry, fmc_entry *found, char *message)
{
    fmc_json at = fmc_json_is_list(entry) ? fmc_json_first(entry) : NULL;
    found->name = take(&at);
    if (!fmc_json_is_text(found->name)) return fmc_bad_field(NULL, "has no name", message);
    found->kind = fmc_read_kind(take(&at), &found->pooling);
    if (found->kind == FMC_TABLE) return read_table(at, found, message);
    if (found->kind == FMC_SHARING) {
        found->table = take(&at);
        if (fmc_json_is_text(found->table) && at == NULL) return FMC_OK;
    } else if (found->kind != FMC_NO_KIND && at == NULL) {
        return FMC_OK;
    }
    return fmc_bad_field(found->name, "is of no kind", message);
}
