#include "checks.h"

#include "bits.h"
#include "network.h"
#include "status.h"

#include <math.h>

static bool finite_floats(const uint8_t *at, size_t count)
{
    uint32_t bad = 0;
    for (size_t place = 0; place < count; place++) bad |= (fmc_load32(at + 4 * place) & 0x7F800000) == 0x7F800000;
    return !bad;
}

static bool finite_halves(const uint8_t *at, size_t count)
{
    uint16_t bad = 0;
    for (size_t place = 0; place < count; place++) bad |= (fmc_load16(at + 2 * place) & 0x7C00) == 0x7C00;
    return !bad;
}

static bool without_least(const uint8_t *at, size_t count)
{
    uint8_t bad = 0;
    for (size_t place = 0; place < count; place++) bad |= at[place] == 0x80;
    return !bad;
}

static unsigned ones(uint64_t word)
{
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    return (unsigned)(((word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56);
}

/* Counts the categories of each tier: of two bits each, how many have the one, the other, and both. */
static void count_tiers(const fmc_field *field, uint64_t *counts)
{
    uint64_t bits = (uint64_t)field->cardinality * field->tier_bits, low = 0, high = 0, both = 0;
    const uint64_t lows = field->tier_bits == 1 ? UINT64_MAX : 0x5555555555555555;
    const uint8_t *end = field->tier_stream + field->tier_bytes;
    for (uint64_t bit = 0; bit < bits; bit += 64) {
        uint64_t word = fmc_load64(field->tier_stream + bit / 8, end);
        if (bits - bit < 64) word &= ((uint64_t)1 << (bits - bit)) - 1;
        uint64_t upper = field->tier_bits == 1 ? 0 : word >> 1 & lows;
        low += ones(word & lows);
        high += ones(upper);
        both += ones(word & lows & upper);
    }
    counts[3] = both;
    counts[2] = high - both;
    counts[1] = low - both;
    counts[0] = (uint64_t)field->cardinality - counts[1] - counts[2] - counts[3];
}

static fmc_status check_tiers(const fmc_field *field, char *message)
{
    uint64_t counts[FMC_MAX_TIERS];
    if (field->tier_count == 1) return FMC_OK;
    count_tiers(field, counts);
    for (uint32_t tier = 0; tier < field->tier_count; tier++)
        if (counts[tier] != field->tiers[tier].categories)
            return fmc_fail(FMC_NO_ARTIFACT, message,
                            "is damaged: its tiers have not as many categories as its header says");
    return FMC_OK;
}

static fmc_status not_finite(char *message)
{
    return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: it holds NaN or infinite weights");
}

static fmc_status check_table(const fmc_table *table, uint32_t number_bytes, char *message)
{
    if (number_bytes == 4) return finite_floats(table->numbers, (size_t)(table->rows * table->columns)) ? FMC_OK : not_finite(message);
    if (!without_least(table->numbers, (size_t)(table->rows * table->columns)))
        return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: a number in int8 is below -127");
    if (signbit(table->scale)) return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: it holds a negative scale");
    return FMC_OK;
}

static fmc_status check_tables(const fmc_tier *tier, char *message)
{
    if (tier->number_bytes == 2) return FMC_OK; /* all values have been looked at */
    for (uint32_t table = 0; table < tier->subspaces; table++)
        FMC_TRY(check_table(tier->tables + table, tier->number_bytes, message));
    return check_table(&tier->linear, tier->number_bytes, message);
}

/* Codes of a row that stand next to each other, and fit one load. All are compared with their numbers of codewords K at
 * once: where 2^width - K is added to a code that is not below K, a bit is carried out of its place. */
typedef struct {
    uint32_t start; /* first bit in a row */
    uint32_t bits;
    uint64_t added; /* 2^width - K at the place of each code */
    uint64_t tops; /* the highest bit of each code */
} code_group;

/* Finds the next group of codes, the first of which is number `*code`. */
static code_group next_group(const fmc_tier *tier, uint32_t *code, uint32_t start)
{
    code_group group = {.start = start};
    uint32_t embedding_codes = tier->raw ? 0 : tier->subspaces;
    for (; *code < tier->code_count && group.bits + tier->widths[*code] <= FMC_LOAD_BITS; ++*code) {
        uint32_t width = tier->widths[*code];
        uint64_t codewords = *code < embedding_codes ? tier->tables[*code].rows : tier->linear.rows;
        if (width == 0) continue;
        group.added |= (((uint64_t)1 << width) - codewords) << group.bits;
        group.bits += width;
        group.tops |= (uint64_t)1 << (group.bits - 1);
    }
    return group;
}

static uint64_t carries(uint64_t codes, code_group group)
{
    uint64_t sums = (codes & ~group.tops) + (group.added & ~group.tops);
    return ((codes & group.added) | ((codes | group.added) & sums)) & group.tops;
}

static bool codes_in_range(const fmc_tier *tier, code_group group)
{
    const uint8_t *end = tier->codes + tier->code_bytes;
    const uint64_t mask = ((uint64_t)1 << group.bits) - 1;
    uint64_t bad = 0, bit = group.start;
    for (uint64_t row = 0; row < tier->categories; row++, bit += tier->row_bits)
        bad |= carries(fmc_load64(tier->codes + bit / 8, end) >> bit % 8 & mask, group);
    return bad == 0;
}

static fmc_status check_codes(const fmc_tier *tier, char *message)
{
    uint32_t start = 0;
    for (uint32_t code = 0; code < tier->code_count;) {
        code_group group = next_group(tier, &code, start);
        if (group.added != 0 && !codes_in_range(tier, group))
            return fmc_fail(FMC_NO_ARTIFACT, message, "is damaged: a code names a codeword that does not exist");
        start += group.bits;
    }
    return FMC_OK;
}

fmc_status fmc_check_numbers(const fmc_model *model, const uint8_t *numeric, size_t numeric_bytes, char *message)
{
    if (!isfinite(model->bias) || !finite_floats(numeric, numeric_bytes / 4)) return not_finite(message);
    FMC_TRY(fmc_check_network(model, message));
    if (!finite_halves(model->values, (size_t)(model->values_end - model->values) / 2)) return not_finite(message);
    for (size_t field = 0; field < model->field_count; field++) {
        FMC_TRY(check_tiers(model->fields + field, message));
        for (uint32_t tier = 0; tier < model->fields[field].tier_count; tier++) {
            FMC_TRY(check_tables(model->fields[field].tiers + tier, message));
            FMC_TRY(check_codes(model->fields[field].tiers + tier, message));
        }
    }
    return FMC_OK;
}
