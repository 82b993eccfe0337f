/* What scoring prepares when a model is opened: of each tier what its rows are put together from, and how it is looked up. */
#ifndef FMC_PLAN_H
#define FMC_PLAN_H

#include "model.h"
#include "score.h"

enum {
    FMC_LANES = 8, /* coordinates of the shortest vector */
    FMC_BLOCK = 512, /* coordinates that are summed in one go: more are taken block by block, so that sums have a place on the stack */
    FMC_TOGETHER = 4 /* codes that one 64-bit load holds, wherever in a byte they begin: 12 bits each at most */
};

/* Some codes of a row, looked up together. */
typedef struct {
    uint64_t shift[FMC_TOGETHER]; /* bits before it, from the first code's on */
    uint64_t mask[FMC_TOGETHER];
    uint64_t bytes[FMC_TOGETHER]; /* of a codeword; below 2³² */
    uint64_t table[FMC_TOGETHER]; /* address of the codebook */
    uint64_t bit; /* bits of the row before the first code */
} __attribute__((aligned(32))) fmc_group;

typedef enum {
    FMC_SMALL, /* rows lie whole, are whole vectors long, and w − ½‖q‖² is known of each; they are few */
    FMC_LARGE, /* the same, but they are fetched ahead */
    FMC_WHOLE, /* rows lie whole, and are whole vectors long */
    FMC_SHORT, /* codewords are one vector each, and one load holds a row, the code of its linear weight among them */
    FMC_CODED, /* codewords are whole vectors */
    FMC_PARTS /* rows are put together first */
} fmc_way;

/* Kinds of numbers: int8, fp16, fp32. */
enum { FMC_KINDS = 3 };

/* The kind of numbers of 1, 2 or 4 bytes. */
static inline uint32_t fmc_kind(uint32_t number_bytes) { return number_bytes >> 1; }

/* Tiers by the way in which they are looked up, each once for each kind of numbers. */
enum { FMC_LIST_NORMED, FMC_LIST_PLAIN, FMC_LIST_CODED, FMC_LIST_PARTS, FMC_LISTS = 4 * FMC_KINDS };

/* Where a category's embedding and linear weight are. Without codes `codes` is an empty place, and 0 bits long. */
typedef struct {
    fmc_way way;
    uint32_t number_bytes; /* 1, 2 or 4: int8, fp16 or fp32 */
    uint32_t subspaces;
    const uint8_t *rows; /* where there are no codes: the first row */
    uint64_t stride; /* bytes from row to row; 0 where all share one */
    const uint8_t *codes, *codes_last, *codes_end; /* codes_last: the last address from which 8 bytes can be read */
    uint64_t row_bits;
    uint32_t chunks; /* vectors of a codeword, where codewords are vectors */
    uint32_t part_bytes; /* of each codeword, where all are as large and fill whole vectors up; 0 where not */
    const fmc_group *groups; /* of the embedding's codes; NULL where there are none */
    const uint8_t *linear;
    uint64_t linear_stride; /* bytes from one category's linear weight to the next; 0 where it has a code, or all share one */
    uint64_t linear_bit, linear_mask, linear_bytes; /* its code in a row, and bytes from one of the codebook to the next */
    float linear_scale;
    uint32_t list; /* of FMC_LISTS: what is looked up in the same way */
    const uint8_t *fetch_from[2]; /* what is fetched ahead: the byte `fetch_bits` · place / 8 from there on */
    uint64_t fetch_bits[2];
    const uint8_t *scalars; /* w − ½‖q‖², of all categories; NULL where that is not known */
    uint64_t scalar_stride;
    const float *scales; /* of each coordinate, for int8; filled up to whole vectors */
} fmc_tier_plan;

typedef struct {
    const fmc_field *field;
    /* The words of the stream of tiers, 8 bytes each, and behind each how many categories of each tier come before it, 4 bytes each;
     * NULL for one tier. Beside each other, so that both are in one line of a cache. */
    const uint8_t *directory;
    uint64_t lanes; /* see fmc_lanes */
    uint64_t entry; /* bytes of a word with what is behind it */
    fmc_tier_plan tiers[FMC_MAX_TIERS];
} fmc_field_plan;

/* An id of a row. */
typedef struct {
    uint32_t id;
    bool far; /* so large that it is fetched ahead */
    int64_t cardinality, pad;
    uint64_t low, span; /* ids from low on, span of them, are categories without a doubt */
    const fmc_field_plan *field;
    fmc_tier_plan tier; /* the only one; of no use where there are several */
} fmc_step;

/* Ids that are looked up in the same way, one after the other in `steps`. */
typedef struct {
    uint32_t first, last;
    fmc_way way; /* FMC_PARTS stands for all that is not usual: parts, several tiers, several blocks */
    uint32_t kind; /* of numbers */
} fmc_run;

struct fmc_plan {
    fmc_score *score; /* for the instructions that there were when the model was opened */
    const fmc_step *steps; /* id_count */
    const fmc_run *runs;
    uint32_t run_count;
    const fmc_step *pooled; /* those of ids that may have several values, in the order of the ids */
    uint32_t pooled_count;
    const fmc_step *in_order; /* of all ids, where there is a network: it takes them in the order of the model */
    const double *norms; /* ‖v‖² of each numeric field, block by block */
};

/* Prepares a model for scoring: everything in it is in place and checked. */
fmc_status fmc_make_plan(fmc_model *model, char *message);

/* The lowest bit of each category's place in a word of a stream of tiers. */
static inline uint64_t fmc_lanes(uint32_t tier_bits) { return tier_bits == 1 ? ~UINT64_C(0) : UINT64_C(0x5555555555555555); }

/* A bit for each category of a word that is in a tier, at the lowest bit of its place. */
static inline uint64_t fmc_matching(uint64_t word, uint64_t tier, uint32_t tier_bits, uint64_t lanes)
{
    uint64_t same = ~(word ^ (tier * lanes));
    return same & (same >> (tier_bits - 1)) & lanes;
}

#endif
