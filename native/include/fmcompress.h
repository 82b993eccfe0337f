/* Scoring rows with an artifact of fmcompress: one header, no dependency but the C library and POSIX threads.
 *
 *     char message[FMC_MESSAGE_BYTES];
 *     fmc_model *model;
 *     if (fmc_open("artifact.safetensors", 0, &model, message)) { fputs(message, stderr); return 1; }
 *     int64_t ids[2 * FIELDS] = {...};
 *     float predictions[2];
 *     if (fmc_predict_i64(model, ids, NULL, 2, 1, predictions, message)) ...
 *     fmc_close(model);
 *
 * A model does not change once it is open: any number of threads may score with it, as long as none closes it.
 * Scoring takes no lock and touches no file, and allocates nothing, but for rows of a network that take more than some 10 KB each. docs/format.md of the project says what an artifact is,
 * docs/serving.md how to build, link, share and replace a model.
 */
#ifndef FMCOMPRESS_H
#define FMCOMPRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FMC_API __attribute__((visibility("default")))
#else
#define FMC_API
#endif

/* Grows by one with each change that a program built before would not survive. */
#define FMC_ABI 1

/* Bytes that every `message` must have room for. */
#define FMC_MESSAGE_BYTES 512

/* What came of a call. Where it is not FMC_OK, `message` says why, in one line of UTF-8. */
typedef enum {
    FMC_OK = 0,
    FMC_UNREADABLE = 1, /* the file is missing or cannot be read */
    FMC_NO_ARTIFACT = 2, /* it is no artifact, damaged, cut short, or of a newer schema version */
    FMC_WRONG_DATA = 3, /* an id is out of range, a value is infinite or too large */
    FMC_NO_MEMORY = 4,
    FMC_WRONG_CALL = 5 /* an argument is NULL that must not be, or a flag does not exist */
} fmc_status;

typedef struct fmc_model fmc_model;

/* How to open a model. Without a flag the artifact is read into memory of its own: nothing that happens to the file, or
 * to the bytes that were given, reaches the model. */
enum {
    /* Map the file (fmc_open), or use the bytes where they are (fmc_open_memory): processes share one copy, and opening
     * costs little memory. The file must not be cut or written to while the model is open; replacing it by another one with
     * rename() is safe. */
    FMC_SHARED = 1,
    /* Leave out the SHA-256, for bytes that are known to be whole. All that scoring relies on is checked nevertheless. */
    FMC_UNSEALED = 2
};

/* Opens an artifact, after checking every byte of it; `*model` is NULL where that fails. A vocabulary is covered by the
 * SHA-256, but not unpacked or kept: rows are scored by ids. */
FMC_API fmc_status fmc_open(const char *path, unsigned flags, fmc_model **model, char *message);

/* The same of the bytes of an artifact. */
FMC_API fmc_status fmc_open_memory(const void *bytes, size_t size, unsigned flags, fmc_model **model, char *message);

/* The pieces of an artifact, as its file holds them; see docs/format.md. */
typedef struct {
    const char *metadata; /* text of __metadata__.fmcompress, UTF-8 */
    size_t metadata_bytes;
    const void *bias; /* F32, 4 bytes */
    const void *numeric; /* F32 */
    size_t numeric_bytes;
    const void *values; /* F16 */
    size_t values_bytes;
    const void *codes; /* U8 */
    size_t codes_bytes;
} fmc_pieces;

/* Opens a model whose pieces are in memory, for bindings that hold them already. They are used where they are and must
 * outlive the model, the metadata apart; the SHA-256 is that of a file, and is not looked at. */
FMC_API fmc_status fmc_open_pieces(const fmc_pieces *pieces, fmc_model **model, char *message);

/* The same of an artifact with dense layers on top: `network` is its tensor of that name, U8. */
FMC_API fmc_status fmc_open_network_pieces(const fmc_pieces *pieces, const void *network, size_t network_bytes, fmc_model **model,
                                           char *message);

/* What a compact file holds, as a plain one stores it; see docs/format.md. */
typedef struct {
    void *values; /* F16 */
    size_t values_bytes;
    void *codes; /* U8 */
    size_t codes_bytes;
    void *network; /* U8 */
    size_t network_bytes;
} fmc_unpacked;

/* Unpacks a compact file into memory of the sizes that its fields need, all zeros, for bindings that know these sizes and have looked at
 * its SHA-256; that numbers and codes are in range is seen when the pieces are opened. */
FMC_API fmc_status fmc_unpack_compact(const void *bytes, size_t size, const fmc_unpacked *into, char *message);

/* Frees a model; NULL is fine. */
FMC_API void fmc_close(fmc_model *model);

/* What a row is made of: the ids of the categorical fields, in this order, and the values of the numeric fields, in that.
 * Names are UTF-8 and live as long as the model; one with U+0000 in it ends there. A field that does not exist has the name NULL, and 0 categories. */
FMC_API size_t fmc_id_count(const fmc_model *model);
FMC_API const char *fmc_id_name(const fmc_model *model, size_t id);
FMC_API int64_t fmc_cardinality(const fmc_model *model, size_t id);
/* The id that stands for no value, beside -1; -1 where there is none. */
FMC_API int64_t fmc_pad(const fmc_model *model, size_t id);
/* How the values of a field become one embedding and one linear weight where a row may have several of them: "sum", "mean", "sqrtn",
 * "each", or one for each of both, as in "mean/sum"; NULL where a row has one value at most. See fmc_predict_bags_i64. */
FMC_API const char *fmc_pooling_name(const fmc_model *model, size_t id);
FMC_API size_t fmc_value_count(const fmc_model *model);
FMC_API const char *fmc_value_name(const fmc_model *model, size_t value);

/* Embedding size l. */
FMC_API size_t fmc_dim(const fmc_model *model);
/* From logit to prediction: "sigmoid", "probit", "identity", or "clip:LOW:HIGH". */
FMC_API const char *fmc_link(const fmc_model *model);
/* The SHA-256 that the artifact carries, 64 hex digits: tells one release from another. */
FMC_API const char *fmc_sha256(const fmc_model *model);
/* Bytes that the model holds in memory, mapped ones included: at most 1.2 times the artifact and 4 MiB, and 8 bytes for each
 * weight of dense layers; of a compact one, 1.2 times the plain one that holds the same. */
FMC_API size_t fmc_resident_bytes(const fmc_model *model);

/* Scores rows.
 *
 * ids          row by row, fmc_id_count() each, counted from 0 in each field; -1 where one is missing
 * values       row by row, fmc_value_count() each, NaN where one is missing; NULL where there are no numeric fields
 * rows         how many
 * threads      among how many threads the rows are split, the caller's included; 0 is 1. Few rows take fewer
 * predictions  one for each row; of no use where the call fails
 */
FMC_API fmc_status fmc_predict_i64(const fmc_model *model, const int64_t *ids, const double *values, size_t rows,
                                   unsigned threads, float *predictions, char *message);
FMC_API fmc_status fmc_predict_i32(const fmc_model *model, const int32_t *ids, const double *values, size_t rows,
                                   unsigned threads, float *predictions, char *message);

/* The values of one field in some rows: those of row r are ids[starts[r]] and those behind it, up to ids[starts[r + 1] - 1]. */
typedef struct {
    const int64_t *starts; /* one more than there are rows, rising from 0 to `count`; NULL where the field's column tells its values */
    const void *ids; /* int64_t or int32_t, as the columns; those that are -1 or PAD are left out, and do not count */
    const float *weights; /* what each value is multiplied by, a finite number; NULL where all are 1 */
    size_t count; /* of ids, and of weights */
} fmc_bag;

/* The same of rows in which fields with a pooling may have several values.
 *
 * ids          as above: of a field whose values are in a bag -1, or PAD; of others with a pooling one value, or none
 * bags         fmc_id_count() of them, in the order of the ids; those of fields without a pooling have no starts
 */
FMC_API fmc_status fmc_predict_bags_i64(const fmc_model *model, const int64_t *ids, const double *values, const fmc_bag *bags,
                                        size_t rows, unsigned threads, float *predictions, char *message);
FMC_API fmc_status fmc_predict_bags_i32(const fmc_model *model, const int32_t *ids, const double *values, const fmc_bag *bags,
                                        size_t rows, unsigned threads, float *predictions, char *message);

/* FMC_ABI of the library that is loaded, its version, and the instructions that it uses here: "portable", "avx2",
 * "avx512" or "neon". FMCOMPRESS_ISA in the environment, with one of these names, lowers that. */
FMC_API unsigned fmc_abi(void);
FMC_API const char *fmc_version(void);
FMC_API const char *fmc_isa(void);

#ifdef __cplusplus
}
#endif

#endif
