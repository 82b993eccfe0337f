#include "quantizer.h"

#include <string.h>

/* The longest name lists 256 numbers of codewords. */
enum { NAME_BYTES = FMC_MAX_SUBSPACES * 5 + 4 };

static const char BITS[] = "0123456789abc";

uint32_t fmc_code_bits(uint32_t codewords)
{
    uint32_t bits = 0;
    while ((uint32_t)1 << bits < codewords) bits++;
    return bits;
}

uint32_t fmc_row_bits(const fmc_quantizer *quantizer)
{
    uint32_t bits = quantizer->linear_codewords > 0 ? fmc_code_bits(quantizer->linear_codewords) : 0;
    for (uint32_t d = 0; d < quantizer->subspaces; d++) bits += fmc_code_bits(quantizer->codewords[d]);
    return bits;
}

uint32_t fmc_subspace_size(uint32_t dim, uint32_t subspaces, uint32_t d)
{
    return dim / subspaces + (d < dim % subspaces);
}

uint64_t fmc_embedding_values(const fmc_quantizer *quantizer, uint64_t categories, uint32_t dim)
{
    if (quantizer->subspaces == 0) return categories * dim;
    uint64_t values = 0;
    for (uint32_t d = 0; d < quantizer->subspaces; d++)
        values += (uint64_t)quantizer->codewords[d] * fmc_subspace_size(dim, quantizer->subspaces, d);
    return values;
}

uint64_t fmc_linear_values(const fmc_quantizer *quantizer, uint64_t categories)
{
    return quantizer->linear_codewords > 0 ? quantizer->linear_codewords : categories;
}

uint32_t fmc_table_count(const fmc_quantizer *quantizer)
{
    return quantizer->subspaces > 0 ? quantizer->subspaces : 1;
}

/* Reads one to four digits, a number from 1 on without leading zero; returns 0 where there is none. */
static uint32_t read_number(const char **at, uint32_t most)
{
    uint32_t number = 0;
    if (**at == '0') return 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        number = 10 * number + (uint32_t)(**at - '0');
        if (number > most) return 0;
    }
    return number;
}

static bool read_list(const char *name, fmc_quantizer *found)
{
    do {
        uint32_t codewords = read_number(&name, FMC_MAX_CODEWORDS);
        if (codewords == 0 || found->subspaces == FMC_MAX_SUBSPACES) return false;
        found->codewords[found->subspaces++] = (uint16_t)codewords;
    } while (*name++ == ',');
    return name[-1] == '\0';
}

static bool read_equal(const char *name, fmc_quantizer *found)
{
    uint32_t subspaces = read_number(&name, FMC_MAX_SUBSPACES);
    if (subspaces == 0 || *name++ != 'x') return false;
    uint32_t codewords = read_number(&name, FMC_MAX_CODEWORDS);
    while (found->subspaces < subspaces) found->codewords[found->subspaces++] = (uint16_t)codewords;
    return codewords > 0 && *name == '\0';
}

static bool read_bits(const char *name, fmc_quantizer *found)
{
    for (name++; *name != '\0'; name++) {
        const char *digit = strchr(BITS, *name);
        if (digit == NULL || found->subspaces == FMC_MAX_SUBSPACES) return false;
        found->codewords[found->subspaces++] = (uint16_t)(1 << (digit - BITS));
    }
    return found->subspaces > 0;
}

typedef enum { RAW, SHARED, EQUAL, POWERS, LIST } spelling;

/* The one way in which numbers of codewords are spelt. */
static spelling spelling_of(const fmc_quantizer *quantizer)
{
    bool equal = true, powers = true;
    for (uint32_t d = 0; d < quantizer->subspaces; d++) {
        equal &= quantizer->codewords[d] == quantizer->codewords[0];
        powers &= (quantizer->codewords[d] & (quantizer->codewords[d] - 1)) == 0;
    }
    if (quantizer->subspaces == 0) return RAW;
    if (quantizer->subspaces == 1 && quantizer->codewords[0] == 1) return SHARED;
    return equal ? EQUAL : powers ? POWERS : LIST;
}

/* Cuts off what follows a name, and returns whether it was there. */
static bool cut_off(char *name, const char *suffix)
{
    size_t length = strlen(name), size = strlen(suffix);
    bool there = length >= size && strcmp(name + length - size, suffix) == 0;
    if (there) name[length - size] = '\0';
    return there;
}

static bool parse_embedding(char *name, fmc_quantizer *found)
{
    found->subspaces = 0;
    found->number_bytes = cut_off(name, ":8") ? 1 : cut_off(name, ":32") ? 4 : 2;
    if (strcmp(name, "raw") == 0) return true;
    if (strcmp(name, "shared") == 0) {
        found->codewords[found->subspaces++] = 1;
        return true;
    }
    if (name[0] == 'b') return read_bits(name, found) && spelling_of(found) == POWERS;
    if (strchr(name, 'x') != NULL) return read_equal(name, found) && spelling_of(found) == EQUAL;
    /* The first writers listed powers of two, before there were int8 and fp32. */
    if (!read_list(name, found)) return false;
    return spelling_of(found) == LIST || (spelling_of(found) == POWERS && found->number_bytes == 2);
}

static bool parse_linear(const char *name, fmc_quantizer *found)
{
    found->linear_codewords = strcmp(name, "shared") == 0;
    if (strcmp(name, "raw") == 0 || strcmp(name, "shared") == 0) return true;
    found->linear_codewords = read_number(&name, FMC_MAX_CODEWORDS);
    return found->linear_codewords > 1 && *name == '\0';
}

bool fmc_parse_quantizer(fmc_json embedding, fmc_json linear, fmc_quantizer *found)
{
    char name[NAME_BYTES], linear_name[8];
    return fmc_json_ascii(embedding, name, sizeof name) && fmc_json_ascii(linear, linear_name, sizeof linear_name) &&
           parse_embedding(name, found) && parse_linear(linear_name, found);
}
