#include "checks.h"
#include "compact.h"
#include "container.h"
#include "file.h"
#include "layout.h"
#include "memory.h"
#include "plan.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_PATH = 256 };

static fmc_status fill(fmc_model *model, const fmc_metadata *metadata, const fmc_tensor *tensors, char *message)
{
    FMC_TRY(fmc_lay_out(model, metadata, tensors, message));
    FMC_TRY(fmc_check_numbers(model, tensors[FMC_NUMERIC].bytes, tensors[FMC_NUMERIC].byte_count, message));
    return fmc_make_plan(model, message);
}

/* Gives back the memory of the vocabulary, which is not scored with. */
static void drop_vocabulary(fmc_model *model, fmc_tensor *tensors)
{
    const fmc_tensor *vocabulary = tensors + FMC_VOCABULARY;
    size_t starts[FMC_TENSORS];
    if (model->bytes == NULL || model->mapped || vocabulary->bytes == NULL) return;
    for (int tensor = 0; tensor < FMC_TENSORS; tensor++)
        if (tensors[tensor].bytes != NULL) starts[tensor] = (size_t)(tensors[tensor].bytes - (uint8_t *)model->bytes);
    fmc_shorten(model, starts[FMC_VOCABULARY]);
    for (int tensor = 0; tensor < FMC_TENSORS; tensor++)
        if (tensors[tensor].bytes != NULL) tensors[tensor].bytes = (uint8_t *)model->bytes + starts[tensor];
    tensors[FMC_VOCABULARY] = (fmc_tensor){0};
}

static fmc_status open_container(fmc_model *model, const uint8_t *bytes, size_t size, fmc_container *container,
                                 unsigned flags, char *message)
{
    fmc_metadata metadata;
    FMC_TRY(fmc_read_metadata(container->metadata, container->metadata_bytes, &metadata, message));
    if (!container->expected)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its tensors are not those that its fields need");
    if (!(flags & FMC_UNSEALED)) FMC_TRY(fmc_check_seal(bytes, size, metadata.sha256, message));
    drop_vocabulary(model, container->tensors);
    return fill(model, &metadata, container->tensors, message);
}

/* Unpacks a compact file, whose bytes are not needed then. */
static fmc_status open_compact(fmc_model *model, const uint8_t *bytes, size_t size, unsigned flags, char *message)
{
    fmc_text text = {0};
    fmc_metadata metadata;
    fmc_tensor tensors[FMC_TENSORS] = {0};
    fmc_status status = fmc_unpack(model, bytes, size, !(flags & FMC_UNSEALED), &text, tensors, message);
    fmc_drop_bytes(model);
    if (status == FMC_OK) status = fmc_read_metadata(text.bytes, text.size, &metadata, message);
    if (status == FMC_OK) status = fill(model, &metadata, tensors, message);
    free(text.bytes);
    return status;
}

static fmc_status open_bytes(fmc_model *model, const uint8_t *bytes, size_t size, unsigned flags, char *message)
{
    fmc_container container;
    if (fmc_is_compact(bytes, size)) return open_compact(model, bytes, size, flags, message);
    fmc_status status = fmc_read_container(bytes, size, &container, message);
    if (status == FMC_OK) status = open_container(model, bytes, size, &container, flags, message);
    free(container.metadata);
    return status;
}

static fmc_status begin(fmc_model **model, bool fine, unsigned flags, char *message)
{
    if (model != NULL) *model = NULL;
    if (message != NULL) message[0] = '\0';
    if (model == NULL || !fine) return fmc_fail(FMC_WRONG_CALL, message, "an argument is NULL");
    if (flags & ~(unsigned)(FMC_SHARED | FMC_UNSEALED))
        return fmc_fail(FMC_WRONG_CALL, message, "flags are %u, which are none of this version", flags);
    *model = calloc(1, sizeof **model);
    return *model == NULL ? fmc_fail(FMC_NO_MEMORY, message, "cannot be opened: no memory is left") : FMC_OK;
}

/* Closes what could not be opened. */
static fmc_status end(fmc_model **model, fmc_status status)
{
    if (status == FMC_OK) return status;
    fmc_close(*model);
    *model = NULL;
    return status;
}

/* Puts the path in front of a message; of a long one its end. */
static void tell_path(const char *path, char *message)
{
    char problem[FMC_MESSAGE_BYTES];
    if (message == NULL) return;
    strcpy(problem, message);
    size_t length = strlen(path), at = length > SHOWN_PATH ? length - SHOWN_PATH : 0;
    while (at > 0 && ((unsigned char)path[at] & 0xC0) == 0x80) at++;
    fmc_fail(FMC_OK, message, "%s%s: %s", at > 0 ? "…" : "", path + at, problem);
}

fmc_status fmc_open(const char *path, unsigned flags, fmc_model **model, char *message)
{
    FMC_TRY(begin(model, path != NULL, flags, message));
    fmc_status status = fmc_take_file(*model, path, flags & FMC_SHARED, message);
    if (status == FMC_OK) status = open_bytes(*model, (*model)->bytes, (*model)->byte_count, flags, message);
    if (status != FMC_OK) tell_path(path, message);
    return end(model, status);
}

fmc_status fmc_open_memory(const void *bytes, size_t size, unsigned flags, fmc_model **model, char *message)
{
    FMC_TRY(begin(model, bytes != NULL || size == 0, flags, message));
    fmc_status status = FMC_OK;
    if (!(flags & FMC_SHARED)) {
        status = fmc_take_copy(*model, bytes, size, message);
        bytes = (*model)->bytes;
    }
    if (status == FMC_OK) status = open_bytes(*model, bytes, size, flags, message);
    return end(model, status);
}

static fmc_tensor piece(const void *bytes, size_t size, size_t item_bytes)
{
    return (fmc_tensor){bytes == NULL ? (const uint8_t *)"" : bytes, size / item_bytes, size};
}

static fmc_status open_pieces(fmc_model *model, const fmc_pieces *pieces, const void *network, size_t network_bytes, char *message)
{
    const uint8_t *text = (const uint8_t *)pieces->metadata;
    fmc_metadata metadata;
    fmc_tensor tensors[FMC_TENSORS] = {
        [FMC_BIAS] = piece(pieces->bias, 4, 4),
        [FMC_NUMERIC] = piece(pieces->numeric, pieces->numeric_bytes, 4),
        [FMC_VALUES] = piece(pieces->values, pieces->values_bytes, 2),
        [FMC_CODES] = piece(pieces->codes, pieces->codes_bytes, 1),
        [FMC_NETWORK] = piece(network, network_bytes, 1),
    };
    if (pieces->numeric_bytes % 4 != 0 || pieces->values_bytes % 2 != 0)
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its tensors are not those that its fields need");
    if (!fmc_utf8_check(text, pieces->metadata_bytes))
        return fmc_fail(FMC_NO_ARTIFACT, message, "is no fmcompress artifact: its metadata has no schema version");
    FMC_TRY(fmc_read_metadata(text, pieces->metadata_bytes, &metadata, message));
    return fill(model, &metadata, tensors, message);
}

fmc_status fmc_open_pieces(const fmc_pieces *pieces, fmc_model **model, char *message)
{
    return fmc_open_network_pieces(pieces, NULL, 0, model, message);
}

fmc_status fmc_open_network_pieces(const fmc_pieces *pieces, const void *network, size_t network_bytes, fmc_model **model, char *message)
{
    bool fine = pieces != NULL && pieces->metadata != NULL && pieces->bias != NULL &&
                (pieces->numeric != NULL || pieces->numeric_bytes == 0) &&
                (pieces->values != NULL || pieces->values_bytes == 0) &&
                (pieces->codes != NULL || pieces->codes_bytes == 0) && (network != NULL || network_bytes == 0);
    FMC_TRY(begin(model, fine, 0, message));
    return end(model, open_pieces(*model, pieces, network, network_bytes, message));
}

void fmc_close(fmc_model *model)
{
    if (model == NULL) return;
    fmc_free_blocks(model);
    fmc_drop_bytes(model);
    free(model);
}
