#include "network.h"

#include "bits.h"
#include "memory.h"
#include "status.h"

enum { MOST_OUTPUTS = 1 << 20, MOST_BITS = 32 };

static const char *const ACTIVATIONS[] = {
    [FMC_LINEAR] = "identity", [FMC_RELU] = "relu", [FMC_LEAKY_RELU] = "leaky_relu",
    [FMC_LOGISTIC] = "sigmoid", [FMC_TANH] = "tanh", [FMC_ELU] = "elu",
};

static bool read_layer(fmc_json value, fmc_layer_entry *found)
{
    enum { COUNT = sizeof ACTIVATIONS / sizeof *ACTIVATIONS };
    if (!fmc_json_is_list(value) || fmc_json_count(value) != 3) return false;
    fmc_json outputs = fmc_json_first(value), activation = fmc_json_next(outputs);
    int64_t count, bits;
    if (!fmc_json_whole(outputs, &count) || count < 1 || count > MOST_OUTPUTS) return false;
    if (!fmc_json_whole(fmc_json_next(activation), &bits) || (bits != 8 && bits != 16 && bits != MOST_BITS)) return false;
    int known = 0;
    while (known < COUNT && !fmc_json_equals(activation, ACTIVATIONS[known])) known++;
    *found = (fmc_layer_entry){(uint32_t)count, (uint32_t)bits / 8, (fmc_activation)known};
    return known < COUNT;
}

bool fmc_read_network(fmc_json value, fmc_network_entry *found)
{
    if (!fmc_json_is_list(value) || fmc_json_count(value) < 2 || fmc_json_count(value) > FMC_MOST_LAYERS + 1) return false;
    fmc_json at = fmc_json_first(value);
    *found = (fmc_network_entry){.pairwise = fmc_json_equals(at, "deepfm")};
    found->concatenated = found->pairwise;
    if (!found->pairwise && !fmc_json_equals(at, "nfm")) return false;
    while ((at = fmc_json_next(at)) != NULL)
        if (!read_layer(at, &found->layers[found->layer_count++])) return false;
    return found->layers[found->layer_count - 1].outputs == 1;
}

/* Bytes of a layer: biases, scales and weights. */
static uint64_t layer_bytes(const fmc_layer_entry *layer, uint64_t inputs)
{
    return layer->outputs * (4 + (layer->number_bytes == 1 ? 2 : 0) + inputs * layer->number_bytes);
}

/* No sum overflows: a header has fewer than 2^25 fields, so there are below 2^42 inputs. */
uint64_t fmc_network_bytes(const fmc_network_entry *entry, uint64_t inputs)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < entry->layer_count; i++) {
        bytes += layer_bytes(&entry->layers[i], inputs);
        inputs = entry->layers[i].outputs;
    }
    return bytes;
}

static bool finite_halves(const uint8_t *at, uint64_t count)
{
    bool fine = true;
    for (uint64_t place = 0; place < count; place++) fine &= (fmc_load16(at + 2 * place) & 0x7C00) != 0x7C00;
    return fine;
}

static bool finite_floats(const uint8_t *at, uint64_t count)
{
    bool fine = true;
    for (uint64_t place = 0; place < count; place++) fine &= (fmc_load32(at + 4 * place) & 0x7F800000) != 0x7F800000;
    return fine;
}

static fmc_status damaged(const char *what, char *message)
{
    return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: a dense layer %s", what);
}

static fmc_status check_layer(const uint8_t *at, const fmc_layer_entry *layer, uint64_t inputs, char *message)
{
    uint64_t outputs = layer->outputs, weights = outputs * inputs;
    const uint8_t *scales = at + 4 * outputs, *numbers = scales + (layer->number_bytes == 1 ? 2 * outputs : 0);
    bool fine = true, negative = false, least = false;
    switch (layer->number_bytes) {
    case 1:
        for (uint64_t place = 0; place < outputs; place++) negative |= (fmc_load16(scales + 2 * place) & 0x8000) != 0;
        if (negative) return damaged("has a negative scale", message);
        fine = finite_halves(scales, outputs);
        for (uint64_t place = 0; fine && place < weights; place++) least |= numbers[place] == 0x80;
        if (least) return damaged("has a number in int8 below -127", message);
        break;
    case 2: fine = finite_halves(numbers, weights); break;
    default: fine = finite_floats(numbers, weights);
    }
    return fine && finite_floats(at, outputs) ? FMC_OK : damaged("holds NaN or infinite numbers", message);
}

fmc_status fmc_check_network(const fmc_model *model, char *message)
{
    const fmc_network *network = model->network;
    if (network == NULL) return FMC_OK;
    const uint8_t *at = network->bytes;
    uint64_t inputs = network->inputs;
    for (uint32_t i = 0; i < network->entry.layer_count; i++) {
        FMC_TRY(check_layer(at, &network->entry.layers[i], inputs, message));
        at += layer_bytes(&network->entry.layers[i], inputs);
        inputs = network->entry.layers[i].outputs;
    }
    return FMC_OK;
}

/* A weight, the number at a place of its output's row of weights. */
static float weight_at(const uint8_t *scales, const uint8_t *numbers, const fmc_layer_entry *layer, uint64_t output, uint64_t place)
{
    switch (layer->number_bytes) {
    case 1: return (float)(int8_t)numbers[place] * fmc_half(fmc_load16(scales + 2 * output));
    case 2: return fmc_half(fmc_load16(numbers + 2 * place));
    default: return fmc_load_float(numbers + 4 * place);
    }
}

static bool prepare_layer(fmc_model *model, const uint8_t *at, const fmc_layer_entry *entry, size_t inputs, fmc_layer *layer)
{
    size_t outputs = entry->outputs;
    bool few = outputs < FMC_FEW_OUTPUTS;
    *layer = (fmc_layer){.inputs = inputs, .outputs = outputs, .activation = entry->activation};
    layer->width = few ? outputs : (outputs + FMC_PANEL - 1) / FMC_PANEL * FMC_PANEL;
    float *bias = fmc_allocate(model, layer->width, sizeof *bias);
    float *weights = fmc_allocate(model, layer->width * inputs, sizeof *weights);
    if (bias == NULL || weights == NULL) return false;
    const uint8_t *scales = at + 4 * outputs, *numbers = scales + (entry->number_bytes == 1 ? 2 * outputs : 0);
    for (size_t output = 0; output < outputs; output++) {
        float *to = few ? weights + output * inputs : weights + output / FMC_PANEL * FMC_PANEL * inputs + output % FMC_PANEL;
        size_t step = few ? 1 : FMC_PANEL;
        bias[output] = fmc_load_float(at + 4 * output);
        for (size_t input = 0; input < inputs; input++)
            to[input * step] = weight_at(scales, numbers, entry, output, output * inputs + input);
    }
    layer->bias = bias;
    layer->weights = weights;
    return true;
}

bool fmc_prepare_network(fmc_model *model)
{
    fmc_network *network = model->network;
    if (network == NULL) return true;
    const uint8_t *at = network->bytes;
    uint64_t inputs = network->inputs;
    network->layers = fmc_allocate(model, network->entry.layer_count, sizeof *network->layers);
    if (network->layers == NULL) return false;
    for (uint32_t i = 0; i < network->entry.layer_count; i++) {
        const fmc_layer_entry *entry = &network->entry.layers[i];
        if (!prepare_layer(model, at, entry, (size_t)inputs, &network->layers[i])) return false;
        if (network->layers[i].width > network->widest) network->widest = network->layers[i].width;
        at += layer_bytes(entry, inputs);
        inputs = entry->outputs;
    }
    return true;
}
