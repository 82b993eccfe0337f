#include "model.h"

#ifndef FMC_VERSION
#define FMC_VERSION "unknown"
#endif

size_t fmc_id_count(const fmc_model *model)
{
    return model->id_count;
}

const char *fmc_id_name(const fmc_model *model, size_t id)
{
    return id < model->id_count ? model->ids[id].name : NULL;
}

int64_t fmc_cardinality(const fmc_model *model, size_t id)
{
    return id < model->id_count ? model->ids[id].field->cardinality : 0;
}

int64_t fmc_pad(const fmc_model *model, size_t id)
{
    return id < model->id_count ? model->ids[id].field->pad : -1;
}

const char *fmc_pooling_name(const fmc_model *model, size_t id)
{
    if (id >= model->id_count || model->ids[id].pooling == NULL) return NULL;
    return model->ids[id].pooling->name;
}

size_t fmc_value_count(const fmc_model *model)
{
    return model->numeric_count;
}

const char *fmc_value_name(const fmc_model *model, size_t value)
{
    return value < model->numeric_count ? model->numeric[value].name : NULL;
}

size_t fmc_dim(const fmc_model *model)
{
    return model->dim;
}

const char *fmc_link(const fmc_model *model)
{
    return model->link_text;
}

const char *fmc_sha256(const fmc_model *model)
{
    return model->sha256;
}

size_t fmc_resident_bytes(const fmc_model *model)
{
    return sizeof *model + model->block_bytes + model->byte_count;
}

unsigned fmc_abi(void)
{
    return FMC_ABI;
}

const char *fmc_version(void)
{
    return FMC_VERSION;
}
