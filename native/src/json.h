/* Strict JSON, read where it is: a text is checked once, and walked without copying it. */
#ifndef FMC_JSON_H
#define FMC_JSON_H

#include "fmcompress.h"

#include <stdbool.h>

/* Deepest nesting of lists and objects. */
enum { FMC_JSON_DEPTH = 512 };

/* A value: where it begins, in a text that fmc_json_check has found to be sound. NULL is no value, of no kind. */
typedef const uint8_t *fmc_json;

/* Whether bytes are UTF-8: no surrogates, nothing longer than it need be. */
bool fmc_utf8_check(const uint8_t *text, size_t size);

/* Returns FMC_OK where a text is JSON, FMC_NO_ARTIFACT where it is not. A key that occurs twice in an object, NaN, and
 * whole numbers of more than 4300 digits are no JSON, as they are none to the Python package. The text is UTF-8, or what
 * fmc_json_decode made, in which surrogates may stand alone. */
fmc_status fmc_json_check(const uint8_t *text, size_t size);

/* The value of a text. */
fmc_json fmc_json_root(const uint8_t *text);

/* Of a list its first value, of an object its first key, and what comes after a value in either; NULL for no more. */
fmc_json fmc_json_first(fmc_json container);
fmc_json fmc_json_next(fmc_json value);
/* The value of a key. */
fmc_json fmc_json_of(fmc_json key);

/* The value that an object has for a key of ASCII; NULL where it has none, or is no object. */
fmc_json fmc_json_member(fmc_json object, const char *key);

bool fmc_json_is_list(fmc_json value);
bool fmc_json_is_object(fmc_json value);
bool fmc_json_is_text(fmc_json value);
bool fmc_json_is_null(fmc_json value);

/* How many values a list has. */
size_t fmc_json_count(fmc_json list);

/* Whether a value is this text, of ASCII. */
bool fmc_json_equals(fmc_json value, const char *text);

/* Compares what fmc_json_decode makes of a text with bytes, as memcmp does. */
int fmc_json_compare(fmc_json text, const uint8_t *bytes, size_t size);

/* Writes a text, and returns its bytes: UTF-8, but for lone surrogates, which are written as if they were characters.
 * It is not longer than fmc_json_text_bytes, which is what it takes as JSON. */
size_t fmc_json_decode(fmc_json text, uint8_t *into);
size_t fmc_json_text_bytes(fmc_json text);

/* Writes a text of ASCII with a zero at its end; false where the value is none, or takes more than `size` bytes. */
bool fmc_json_ascii(fmc_json value, char *into, size_t size);

/* Whether a value is a whole number without fraction and exponent, from -(2^63 - 1) to 2^63 - 1. */
bool fmc_json_whole(fmc_json value, int64_t *found);

/* Whether a value is a finite number, or null. */
bool fmc_json_is_number_or_null(fmc_json value);

#endif
