#include "metadata.h"

#include "origin.h"
#include "status.h"

#include <string.h>

/* Version 1 is a factorization machine; version 2, the newest, is what version 1 does not know: one with a network on top, and tables. */
enum { MACHINE_VERSION = 1, SCHEMA_VERSION = 2 };

static fmc_status unusable(const char *what, char *message)
{
    return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: its metadata cannot be used (%s)", what);
}

static fmc_status read_version(fmc_json metadata, int64_t *found, char *message)
{
    int64_t version;
    if (!fmc_json_whole(fmc_json_member(metadata, "schema_version"), &version))
        return fmc_fail(FMC_NO_ARTIFACT, message, "is no fmcompress artifact: its metadata has no schema version");
    if (version > SCHEMA_VERSION)
        return fmc_fail(FMC_NO_ARTIFACT, message, "has schema version %lld, this fmcompress reads version %d",
                        (long long)version, SCHEMA_VERSION);
    if (version == SCHEMA_VERSION && fmc_json_equals(fmc_json_member(metadata, "content"), "tables"))
        return fmc_fail(FMC_NO_ARTIFACT, message, "holds tables of vectors, not a factorization machine");
    *found = version;
    return FMC_OK;
}

/* A version says no more than a file needs. */
static fmc_status read_network(fmc_json metadata, int64_t version, fmc_metadata *found, char *message)
{
    fmc_json network = fmc_json_member(metadata, "network");
    found->network = (fmc_network_entry){0};
    found->has_network = network != NULL && !(fmc_json_is_list(network) && fmc_json_count(network) == 0);
    if (found->has_network && !fmc_read_network(network, &found->network)) return unusable("network", message);
    if (version != (found->has_network ? SCHEMA_VERSION : MACHINE_VERSION)) return unusable("schema version", message);
    return fmc_json_equals(fmc_json_member(metadata, "content"), "tables") ? unusable("content", message) : FMC_OK;
}

static bool read_sha256(fmc_json value, char *found)
{
    return fmc_json_ascii(value, found, FMC_SHA256_BYTES) && strspn(found, "0123456789abcdef") == FMC_SHA256_BYTES - 1;
}

static bool read_link(fmc_json value, fmc_metadata *found)
{
    if (value == NULL)
        strcpy(found->link_text, "sigmoid");
    else if (!fmc_json_ascii(value, found->link_text, sizeof found->link_text))
        return false;
    return fmc_parse_link(found->link_text, &found->link, &found->low, &found->high);
}

fmc_status fmc_read_metadata(const uint8_t *text, size_t size, fmc_metadata *found, char *message)
{
    fmc_status status = fmc_json_check(text, size);
    if (status == FMC_NO_MEMORY) return fmc_fail(status, message, "cannot be opened: no memory is left");
    fmc_json metadata = status == FMC_OK ? fmc_json_root(text) : NULL;
    int64_t version = 0;
    FMC_TRY(read_version(metadata, &version, message));
    FMC_TRY(read_network(metadata, version, found, message));
    if (!read_sha256(fmc_json_member(metadata, "sha256"), found->sha256)) return unusable("SHA-256", message);
    int64_t dim;
    if (!fmc_json_whole(fmc_json_member(metadata, "dim"), &dim) || dim < 1 || dim > FMC_MAX_DIM)
        return unusable("dim", message);
    found->dim = (uint32_t)dim;
    if (!read_link(fmc_json_member(metadata, "link"), found)) return unusable("link", message);
    found->fields = fmc_json_member(metadata, "fields");
    if (!fmc_json_is_list(found->fields)) return unusable("fields", message);
    if (!fmc_check_origin(metadata, found->link == FMC_IDENTITY || found->link == FMC_CLIP))
        return unusable("where it comes from", message);
    return FMC_OK;
}
