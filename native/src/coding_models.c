#include "coding_models.h"

#include "status.h"

enum {
    TOTAL = 1 << FMC_FREQUENCY_BITS, LARGEST_FREQUENCY = TOTAL - (1 << 8),
    UNITS = 16, /* units of a cost in a bit */
    LARGEST_SHIFT = 15, SEVERAL_KNOTS = 240, FURTHER_KNOTS = 3, GAUSS = 128, STEPS = 8
};

/* 2^15 · 2^(-i/16) */
static const uint16_t WEIGHTS[UNITS] = {
    32768, 31379, 30048, 28774, 27554, 26386, 25268, 24196, 23170, 22188, 21247, 20347, 19484, 18658, 17867, 17109,
};

void fmc_frequencies(const uint64_t *weights, uint32_t symbols, uint16_t *found)
{
    uint64_t sum = 0, common = 0, upto = 0, before = 0;
    uint32_t rare = 0, top = 0;
    for (uint32_t s = 0; s < symbols; s++) sum += weights[s];
    for (uint32_t s = 0; s < symbols; s++) {
        bool is_rare = weights[s] << (FMC_FREQUENCY_BITS + 1) < 3 * sum;
        rare += is_rare;
        if (!is_rare) common += weights[s];
    }
    for (uint32_t s = 0; s < symbols; s++) {
        found[s] = 1;
        if (weights[s] << (FMC_FREQUENCY_BITS + 1) >= 3 * sum) {
            upto += weights[s];
            uint64_t end = upto * (TOTAL - rare) / common;
            found[s] = (uint16_t)(end - before);
            before = end;
        }
        if (found[s] > found[top]) top = s;
    }
    if (found[top] > LARGEST_FREQUENCY) {
        uint32_t next = top + 1 < symbols ? top + 1 : top - 1;
        found[next] = (uint16_t)(found[next] + found[top] - LARGEST_FREQUENCY);
        found[top] = LARGEST_FREQUENCY;
    }
}

/* The weight of a symbol that takes so many sixteenths of a bit more than the most frequent one. */
static uint64_t weight_of(uint64_t cost)
{
    return cost / UNITS > LARGEST_SHIFT ? 0 : (uint64_t)(WEIGHTS[cost % UNITS] >> cost / UNITS);
}

/* Costs rise from knot to knot: at 1/16, 1/4 and 1/2 of the ranks, those of the mask, and at the last one. */
static void frequencies_of_knots(uint32_t codewords, uint32_t mask, const uint8_t *rises, uint16_t *found)
{
    static const uint32_t parts[FURTHER_KNOTS] = {16, 4, 2};
    uint64_t weights[FMC_MOST_SYMBOLS], cost = 0;
    uint32_t at = 0;
    weights[0] = weight_of(0);
    for (int further = 0; further <= FURTHER_KNOTS; further++) {
        if (further < FURTHER_KNOTS && !(mask >> further & 1)) continue;
        uint32_t knot = further < FURTHER_KNOTS ? codewords / parts[further] : codewords - 1;
        uint64_t rise = *rises++;
        if (knot < 1) knot = 1;
        for (uint32_t rank = at + 1; rank <= knot; rank++) weights[rank] = weight_of(cost + rise * (rank - at) / (knot - at));
        cost += rise;
        if (knot == at) weights[knot] = weight_of(cost);
        at = knot;
    }
    fmc_frequencies(weights, codewords, found);
}

const uint8_t *fmc_code_frequencies(const uint8_t *at, const uint8_t *end, uint32_t codewords, uint16_t *found, char *message)
{
    static const size_t knots[1 << FURTHER_KNOTS] = {1, 2, 2, 3, 2, 3, 3, 4};
    const uint8_t *rises = at;
    uint32_t mask = 0;
    if (at < end && *at >= SEVERAL_KNOTS) {
        mask = *at - SEVERAL_KNOTS;
        rises++;
        if (mask < 1 || mask >= 1 << FURTHER_KNOTS) {
            fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: a model of its codes is none");
            return NULL;
        }
    }
    if ((size_t)(end - rises) < knots[mask]) {
        fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: a model of its codes is cut short");
        return NULL;
    }
    if (found != NULL) frequencies_of_knots(codewords, mask, rises, found);
    return rises + knots[mask];
}

void fmc_integer_frequencies(uint8_t described, uint32_t largest, uint16_t *found)
{
    uint64_t weights[2 * 127 + 1];
    uint64_t spread = WEIGHTS[described % STEPS * (UNITS / STEPS)] >> described % GAUSS / STEPS;
    for (uint64_t number = 0; number <= largest; number++) {
        uint64_t cost = described < GAUSS ? spread * number >> 8 : spread * number * number >> 10;
        weights[largest - number] = weights[largest + number] = weight_of(cost);
    }
    fmc_frequencies(weights, 2 * largest + 1, found);
}
