#include "container.h"

#include "bits.h"
#include "json.h"
#include "sha256.h"
#include "status.h"

#include <stdlib.h>

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000, SHOWN_NAME = 40, SEAL_BYTES = 64 };

static const struct {
    const char *name, *dtype;
    size_t item_bytes;
} EXPECTED[FMC_TENSORS] = {
    {"bias", "F32", 4}, {"numeric", "F32", 4}, {"values", "F16", 2}, {"codes", "U8", 1}, {"network", "U8", 1},
    {"vocabulary", "U8", 1},
};

static fmc_status no_artifact(char *message)
{
    return fmc_fail(FMC_NO_ARTIFACT, message, "is not a safetensors file written by fmcompress");
}

static size_t item_bytes(fmc_json dtype)
{
    for (int known = 0; known < FMC_TENSORS; known++)
        if (fmc_json_equals(dtype, EXPECTED[known].dtype)) return EXPECTED[known].item_bytes;
    return 0;
}

/* A tensor of any name, as the header tells of it. */
typedef struct {
    uint64_t items, byte_count;
    int64_t start, end;
} claim;

static bool read_claim(fmc_json entry, size_t file_bytes, claim *found)
{
    fmc_json shape = fmc_json_member(entry, "shape"), offsets = fmc_json_member(entry, "data_offsets");
    size_t width = item_bytes(fmc_json_member(entry, "dtype"));
    int64_t items;
    if (width == 0 || !fmc_json_is_list(shape) || fmc_json_count(shape) != 1) return false;
    if (!fmc_json_whole(fmc_json_first(shape), &items) || items < 0 || (uint64_t)items > file_bytes) return false;
    if (!fmc_json_is_list(offsets) || fmc_json_count(offsets) != 2) return false;
    fmc_json start = fmc_json_first(offsets);
    if (!fmc_json_whole(start, &found->start) || !fmc_json_whole(fmc_json_next(start), &found->end)) return false;
    found->items = (uint64_t)items;
    found->byte_count = (uint64_t)items * width;
    return true;
}

/* Finds out whether all entries are those of tensors, before any is compared with another. */
static bool read_claims(fmc_json layout, size_t file_bytes)
{
    claim ignored;
    for (fmc_json key = fmc_json_first(layout); key != NULL; key = fmc_json_next(fmc_json_of(key)))
        if (!fmc_json_equals(key, "__metadata__") && !read_claim(fmc_json_of(key), file_bytes, &ignored)) return false;
    return true;
}

static fmc_status misplaced(fmc_json key, char *message)
{
    uint8_t name[4 * SHOWN_NAME + 1] = "…";
    if (fmc_json_text_bytes(key) <= sizeof name - 1) name[fmc_json_decode(key, name)] = '\0';
    return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: tensor '%s' does not lie where its size says",
                    (const char *)name);
}

/* Takes the tensors one after the other, and finds out whether they are known ones, in their order. */
static fmc_status take_tensors(fmc_json layout, const uint8_t *bytes, size_t head, size_t size, fmc_container *container,
                               char *message)
{
    fmc_tensor *tensors = container->tensors;
    uint64_t start = 0;
    int next = 0;
    bool expected = true;
    for (fmc_json key = fmc_json_first(layout); key != NULL; key = fmc_json_next(fmc_json_of(key))) {
        claim found;
        if (fmc_json_equals(key, "__metadata__")) continue;
        if (!read_claim(fmc_json_of(key), size, &found)) return no_artifact(message);
        uint64_t end = start + found.byte_count; /* no overflow: start is a number of the text, below 2^63 */
        if (found.start < 0 || (uint64_t)found.start != start || found.end < 0 || (uint64_t)found.end != end)
            return misplaced(key, message);
        while (next < FMC_TENSORS && !fmc_json_equals(key, EXPECTED[next].name)) next++;
        if (next == FMC_TENSORS || !fmc_json_equals(fmc_json_member(fmc_json_of(key), "dtype"), EXPECTED[next].dtype))
            expected = false;
        else if (end <= size - head)
            tensors[next] = (fmc_tensor){bytes + head + start, found.items, (size_t)found.byte_count};
        start = end;
    }
    if (start != size - head)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: it has %llu bytes, expected %llu",
                        (unsigned long long)size, (unsigned long long)(head + start));
    /* A tensor of nothing is left out, but for values and codes. */
    for (int tensor = 0; tensor < FMC_TENSORS; tensor++)
        expected &= (tensor == FMC_NUMERIC || tensor == FMC_NETWORK || tensor == FMC_VOCABULARY)
                        ? tensors[tensor].bytes == NULL || tensors[tensor].items > 0
                        : tensors[tensor].bytes != NULL;
    container->expected = expected;
    return FMC_OK;
}

fmc_status fmc_read_container(const uint8_t *bytes, size_t size, fmc_container *found, char *message)
{
    *found = (fmc_container){0};
    uint64_t length = size < LENGTH_BYTES ? 0 : fmc_load64(bytes, bytes + LENGTH_BYTES);
    if (length < 2 || length > MAX_HEADER_BYTES || length > size - LENGTH_BYTES)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is not a safetensors file, or is cut short");
    const uint8_t *text = bytes + LENGTH_BYTES;
    if (!fmc_utf8_check(text, (size_t)length)) return no_artifact(message);
    fmc_status status = fmc_json_check(text, (size_t)length);
    if (status == FMC_NO_MEMORY) return fmc_fail(status, message, "cannot be opened: no memory is left");
    if (status != FMC_OK) return no_artifact(message);
    fmc_json layout = fmc_json_root(text);
    fmc_json metadata = fmc_json_member(fmc_json_member(layout, "__metadata__"), "fmcompress");
    if (!fmc_json_is_text(metadata) || !read_claims(layout, size)) return no_artifact(message);
    size_t start = LENGTH_BYTES + (size_t)length;
    FMC_TRY(take_tensors(layout, bytes, start, size, found, message));
    found->metadata = malloc(fmc_json_text_bytes(metadata) + 1);
    if (found->metadata == NULL) return fmc_fail(FMC_NO_MEMORY, message, "cannot be opened: no memory is left");
    found->metadata_bytes = fmc_json_decode(metadata, found->metadata);
    return FMC_OK;
}

fmc_status fmc_check_seal(const uint8_t *bytes, size_t size, const char *sha256, char *message)
{
    static const char unsealed[] = "0000000000000000000000000000000000000000000000000000000000000000";
    size_t head = LENGTH_BYTES + (size_t)fmc_load64(bytes, bytes + LENGTH_BYTES);
    fmc_sha256_state hash;
    char digest[SEAL_BYTES + 1];
    const uint8_t *from = bytes, *at = bytes, *end = bytes + head;
    fmc_sha256_start(&hash);
    while ((at = end - at < SEAL_BYTES ? NULL : memchr(at, sha256[0], (size_t)(end - at) - SEAL_BYTES + 1)) != NULL) {
        if (memcmp(at, sha256, SEAL_BYTES) != 0) {
            at++;
            continue;
        }
        fmc_sha256_add(&hash, from, (size_t)(at - from));
        fmc_sha256_add(&hash, unsealed, SEAL_BYTES);
        at += SEAL_BYTES;
        from = at;
    }
    fmc_sha256_add(&hash, from, size - (size_t)(from - bytes));
    fmc_sha256_end(&hash, digest);
    if (strcmp(digest, sha256) != 0)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its SHA-256 is not the one in its header");
    return FMC_OK;
}
