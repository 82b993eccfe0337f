/* Dense layers on top of a factorization machine, DeepFM and NFM: what the metadata say of them, and how they are scored with. */
#ifndef FMC_NETWORK_H
#define FMC_NETWORK_H

#include "json.h"
#include "model.h"

enum {
    FMC_MOST_LAYERS = 64,
    FMC_PANEL = 16, /* outputs that are computed together */
    FMC_FEW_OUTPUTS = 8 /* of a layer with fewer, each is computed by itself */
};

typedef enum { FMC_LINEAR, FMC_RELU, FMC_LEAKY_RELU, FMC_LOGISTIC, FMC_TANH, FMC_ELU } fmc_activation;

/* A layer, as the metadata tell of it. */
typedef struct {
    uint32_t outputs, number_bytes;
    fmc_activation activation;
} fmc_layer_entry;

typedef struct {
    bool pairwise; /* the products of all pairs of fields are a term of the logit */
    bool concatenated; /* it takes the embeddings of all fields, else the sum of their products, coordinate by coordinate */
    uint32_t layer_count;
    fmc_layer_entry layers[FMC_MOST_LAYERS];
} fmc_network_entry;

/* a(W x + b), prepared for scoring. */
typedef struct {
    size_t inputs, outputs;
    size_t width; /* outputs, filled up to whole panels unless they are few */
    fmc_activation activation;
    const float *bias; /* width */
    const float *weights; /* panel by panel, of each input those of the panel's outputs; where they are few, output by output */
} fmc_layer;

struct fmc_network {
    fmc_network_entry entry;
    uint64_t inputs; /* of the first layer */
    const uint8_t *bytes; /* of the tensor */
    fmc_layer *layers; /* entry.layer_count */
    size_t widest; /* most of their widths */
};

/* Reads the entry of a network; false where it makes no sense. */
bool fmc_read_network(fmc_json value, fmc_network_entry *found);

/* Bytes of the tensor of a network whose first layer takes so many numbers. */
uint64_t fmc_network_bytes(const fmc_network_entry *entry, uint64_t inputs);

/* Checks all numbers of a model's network, if it has one. */
fmc_status fmc_check_network(const fmc_model *model, char *message);

/* Makes numbers in fp32 of them, in the order in which they are needed; false where there is no memory. */
bool fmc_prepare_network(fmc_model *model);

#endif
