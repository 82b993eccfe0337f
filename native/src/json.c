#include "json.h"

#include "decimal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WHOLE_DIGITS = 4300, FEW_KEYS = 8 };

static const uint32_t NO_CHARACTER = UINT32_MAX;

bool fmc_utf8_check(const uint8_t *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint8_t lead = text[at++];
        if (lead < 0x80) continue;
        size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        if (lead < 0xC2 || lead > 0xF4 || size - at < more) return false;
        uint8_t second = text[at];
        if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return false;
        if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return false;
        for (size_t end = at + more; at < end; at++)
            if ((text[at] & 0xC0) != 0x80) return false;
    }
    return true;
}

/* Texts. */

static int hex_digit(uint8_t character)
{
    if (character >= '0' && character <= '9') return character - '0';
    if (character >= 'a' && character <= 'f') return character - 'a' + 10;
    if (character >= 'A' && character <= 'F') return character - 'A' + 10;
    return -1;
}

static uint32_t hex_number(const uint8_t *at)
{
    uint32_t found = 0;
    for (int digit = 0; digit < 4; digit++) found = found << 4 | (uint32_t)hex_digit(at[digit]);
    return found;
}

static uint32_t raw_character(const uint8_t **at)
{
    const uint8_t *from = *at;
    if (from[0] < 0x80) return *at += 1, from[0];
    if (from[0] < 0xE0) return *at += 2, (from[0] & 0x1Fu) << 6 | (from[1] & 0x3Fu);
    if (from[0] < 0xF0) return *at += 3, (from[0] & 0xFu) << 12 | (from[1] & 0x3Fu) << 6 | (from[2] & 0x3Fu);
    *at += 4;
    return (from[0] & 0x7u) << 18 | (from[1] & 0x3Fu) << 12 | (from[2] & 0x3Fu) << 6 | (from[3] & 0x3Fu);
}

static uint32_t escaped_character(const uint8_t **at)
{
    const uint8_t *from = *at + 2;
    *at = from;
    switch (from[-1]) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': break;
    default: return from[-1];
    }
    uint32_t found = hex_number(from);
    *at += 4;
    if (found >= 0xD800 && found < 0xDC00 && from[4] == '\\' && from[5] == 'u') {
        uint32_t second = hex_number(from + 6);
        if (second >= 0xDC00 && second < 0xE000) {
            *at += 6;
            return 0x10000 + ((found - 0xD800) << 10) + (second - 0xDC00);
        }
    }
    return found;
}

/* Returns the next character of a text, and NO_CHARACTER at its end; `at` is behind the opening quote. */
static uint32_t next_character(const uint8_t **at)
{
    if (**at == '"') return NO_CHARACTER;
    return **at == '\\' ? escaped_character(at) : raw_character(at);
}

/* Keys of one object. */

typedef struct {
    uint64_t hash;
    const uint8_t *at; /* behind the opening quote */
} json_key;

static json_key key_of(const uint8_t *at)
{
    json_key key = {14695981039346656037u, at};
    for (uint32_t found; (found = next_character(&at)) != NO_CHARACTER;) key.hash = (key.hash ^ found) * 1099511628211u;
    return key;
}

static int compare_keys(const void *one, const void *other)
{
    const json_key *a = one, *b = other;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    const uint8_t *in_a = a->at, *in_b = b->at;
    for (;;) {
        uint32_t from_a = next_character(&in_a), from_b = next_character(&in_b);
        if (from_a != from_b) return from_a < from_b ? -1 : 1;
        if (from_a == NO_CHARACTER) return 0;
    }
}

static bool unique_keys(json_key *keys, size_t count)
{
    if (count <= FEW_KEYS) {
        for (size_t one = 0; one < count; one++)
            for (size_t other = 0; other < one; other++)
                if (compare_keys(keys + one, keys + other) == 0) return false;
        return true;
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t place = 1; place < count; place++)
        if (compare_keys(keys + place - 1, keys + place) == 0) return false;
    return true;
}

/* Checking. */

typedef struct {
    const uint8_t *at, *end;
    size_t depth;
    size_t first_key[FMC_JSON_DEPTH + 1]; /* of each object that is open; LIST of a list */
    json_key *keys; /* of all objects that are open */
    size_t key_count, key_room;
} checker;

static const size_t LIST = SIZE_MAX;

static bool is_space(uint8_t character)
{
    return character == ' ' || character == '\t' || character == '\n' || character == '\r';
}

static bool is_digit(uint8_t character)
{
    return character >= '0' && character <= '9';
}

static bool ahead(const checker *c, uint8_t character)
{
    return c->at < c->end && *c->at == character;
}

static void skip_space(checker *c)
{
    while (c->at < c->end && is_space(*c->at)) c->at++;
}

static bool check_escape(checker *c)
{
    if (c->end - c->at < 2 || c->at[1] == '\0' || strchr("\"\\/bfnrtu", c->at[1]) == NULL) return false;
    bool number = c->at[1] == 'u';
    c->at += 2;
    if (!number) return true;
    if (c->end - c->at < 4) return false;
    for (int digit = 0; digit < 4; digit++)
        if (hex_digit(*c->at++) < 0) return false;
    return true;
}

static bool check_text(checker *c)
{
    if (!ahead(c, '"')) return false;
    c->at++;
    while (c->at < c->end && *c->at != '"') {
        if (*c->at < 0x20) return false;
        if (*c->at != '\\')
            c->at++;
        else if (!check_escape(c))
            return false;
    }
    return c->at++ < c->end;
}

static size_t check_digits(checker *c)
{
    const uint8_t *from = c->at;
    while (c->at < c->end && is_digit(*c->at)) c->at++;
    return (size_t)(c->at - from);
}

static bool check_number(checker *c)
{
    if (ahead(c, '-')) c->at++;
    bool zero = ahead(c, '0'), whole = true;
    size_t digits = check_digits(c);
    if (digits == 0 || (zero && digits > 1)) return false;
    if (ahead(c, '.')) {
        whole = false;
        c->at++;
        if (check_digits(c) == 0) return false;
    }
    if (ahead(c, 'e') || ahead(c, 'E')) {
        whole = false;
        c->at++;
        if (ahead(c, '+') || ahead(c, '-')) c->at++;
        if (check_digits(c) == 0) return false;
    }
    return !whole || digits <= MAX_WHOLE_DIGITS;
}

static bool check_word(checker *c, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, word, size) != 0) return false;
    c->at += size;
    return true;
}

static bool check_scalar(checker *c)
{
    switch (*c->at) {
    case '"': return check_text(c);
    case 't': return check_word(c, "true");
    case 'f': return check_word(c, "false");
    case 'n': return check_word(c, "null");
    default: return check_number(c);
    }
}

static fmc_status check_key(checker *c)
{
    const uint8_t *from = c->at + 1;
    if (!check_text(c)) return FMC_NO_ARTIFACT;
    if (c->key_count == c->key_room) {
        size_t room = c->key_room == 0 ? 64 : 2 * c->key_room;
        json_key *keys = realloc(c->keys, room * sizeof *keys); /* no overflow: a key takes some bytes of the text */
        if (keys == NULL) return FMC_NO_MEMORY;
        c->keys = keys;
        c->key_room = room;
    }
    c->keys[c->key_count++] = key_of(from);
    skip_space(c);
    if (!ahead(c, ':')) return FMC_NO_ARTIFACT;
    c->at++;
    skip_space(c);
    return FMC_OK;
}

static bool close_container(checker *c)
{
    size_t first = c->first_key[c->depth--];
    c->at++;
    if (first == LIST) return true;
    bool unique = unique_keys(c->keys + first, c->key_count - first);
    c->key_count = first;
    return unique;
}

/* Goes from the end of a value to the next value, or to the end of all. */
static fmc_status after_value(checker *c)
{
    while (c->depth > 0) {
        bool list = c->first_key[c->depth] == LIST;
        skip_space(c);
        if (ahead(c, ',')) {
            c->at++;
            skip_space(c);
            return list ? FMC_OK : check_key(c);
        }
        if (!ahead(c, list ? ']' : '}') || !close_container(c)) return FMC_NO_ARTIFACT;
    }
    skip_space(c);
    return FMC_OK;
}

/* Checks a value, but of a list or object only how it opens; goes to the next one. */
static fmc_status check_value(checker *c)
{
    if (c->at == c->end) return FMC_NO_ARTIFACT;
    if (*c->at != '[' && *c->at != '{') return check_scalar(c) ? after_value(c) : FMC_NO_ARTIFACT;
    bool list = *c->at == '[';
    if (c->depth == FMC_JSON_DEPTH) return FMC_NO_ARTIFACT;
    c->first_key[++c->depth] = list ? LIST : c->key_count;
    c->at++;
    skip_space(c);
    if (ahead(c, list ? ']' : '}')) return close_container(c) ? after_value(c) : FMC_NO_ARTIFACT;
    return list ? FMC_OK : check_key(c);
}

fmc_status fmc_json_check(const uint8_t *text, size_t size)
{
    checker c = {.at = text, .end = text + size};
    fmc_status status;
    skip_space(&c);
    do status = check_value(&c);
    while (status == FMC_OK && c.depth > 0);
    free(c.keys);
    return status == FMC_OK && c.at != c.end ? FMC_NO_ARTIFACT : status;
}

/* Walking. */

static const uint8_t *behind_space(const uint8_t *at)
{
    while (is_space(*at)) at++;
    return at;
}

static const uint8_t *behind_text(const uint8_t *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\') at++;
    return at + 1;
}

static const uint8_t *behind_value(const uint8_t *at)
{
    size_t depth = 0;
    do {
        if (*at == '"') {
            at = behind_text(at);
            continue;
        }
        if (depth == 0 && *at != '[' && *at != '{') {
            while (!is_space(*at) && *at != ',' && *at != ']' && *at != '}') at++;
            return at;
        }
        depth += *at == '[' || *at == '{';
        depth -= *at == ']' || *at == '}';
        at++;
    } while (depth > 0);
    return at;
}

fmc_json fmc_json_root(const uint8_t *text)
{
    return behind_space(text);
}

fmc_json fmc_json_first(fmc_json container)
{
    const uint8_t *at = behind_space(container + 1);
    return *at == ']' || *at == '}' ? NULL : at;
}

fmc_json fmc_json_next(fmc_json value)
{
    const uint8_t *at = behind_space(behind_value(value));
    return *at == ',' ? behind_space(at + 1) : NULL;
}

fmc_json fmc_json_of(fmc_json key)
{
    return behind_space(behind_space(behind_text(key)) + 1);
}

fmc_json fmc_json_member(fmc_json object, const char *key)
{
    if (!fmc_json_is_object(object)) return NULL;
    for (fmc_json found = fmc_json_first(object); found != NULL; found = fmc_json_next(fmc_json_of(found)))
        if (fmc_json_equals(found, key)) return fmc_json_of(found);
    return NULL;
}

bool fmc_json_is_list(fmc_json value)
{
    return value != NULL && *value == '[';
}

bool fmc_json_is_object(fmc_json value)
{
    return value != NULL && *value == '{';
}

bool fmc_json_is_text(fmc_json value)
{
    return value != NULL && *value == '"';
}

bool fmc_json_is_null(fmc_json value)
{
    return value != NULL && *value == 'n';
}

size_t fmc_json_count(fmc_json list)
{
    size_t count = 0;
    for (fmc_json value = fmc_json_first(list); value != NULL; value = fmc_json_next(value)) count++;
    return count;
}

bool fmc_json_equals(fmc_json value, const char *text)
{
    if (!fmc_json_is_text(value)) return false;
    const uint8_t *at = value + 1;
    for (; *text != '\0'; text++)
        if (next_character(&at) != (uint8_t)*text) return false;
    return *at == '"';
}

static size_t encode(uint32_t character, uint8_t *into)
{
    if (character < 0x80) return into[0] = (uint8_t)character, 1;
    size_t more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    for (size_t place = more; place > 0; place--, character >>= 6) into[place] = (uint8_t)(0x80 | (character & 0x3F));
    into[0] = (uint8_t)(0xFF00 >> (more + 1) | character); /* 110…, 1110… or 11110… */
    return more + 1;
}

size_t fmc_json_decode(fmc_json text, uint8_t *into)
{
    const uint8_t *at = text + 1;
    size_t size = 0;
    for (uint32_t found; (found = next_character(&at)) != NO_CHARACTER;) size += encode(found, into + size);
    return size;
}

int fmc_json_compare(fmc_json text, const uint8_t *bytes, size_t size)
{
    const uint8_t *at = text + 1;
    for (uint32_t found; (found = next_character(&at)) != NO_CHARACTER;) {
        uint8_t own[4];
        size_t count = encode(found, own), both = count < size ? count : size;
        int order = memcmp(own, bytes, both);
        if (order != 0 || count > size) return order != 0 ? order : 1;
        bytes += count;
        size -= count;
    }
    return size > 0 ? -1 : 0;
}

size_t fmc_json_text_bytes(fmc_json text)
{
    return (size_t)(behind_text(text) - text) - 2;
}

bool fmc_json_ascii(fmc_json value, char *into, size_t size)
{
    if (!fmc_json_is_text(value)) return false;
    const uint8_t *at = value + 1;
    for (size_t place = 0; place < size; place++) {
        uint32_t found = next_character(&at);
        if (found == NO_CHARACTER) return into[place] = '\0', true;
        if (found == 0 || found >= 0x80) return false;
        into[place] = (char)found;
    }
    return false;
}

bool fmc_json_whole(fmc_json value, int64_t *found)
{
    if (value == NULL) return false;
    bool negative = *value == '-';
    const uint8_t *at = value + negative;
    if (!is_digit(*at)) return false;
    int64_t number = 0;
    for (; is_digit(*at); at++) {
        int64_t digit = *at - '0';
        if (number > (INT64_MAX - digit) / 10) return false;
        number = 10 * number + digit;
    }
    *found = negative ? -number : number;
    return *at != '.' && *at != 'e' && *at != 'E';
}

bool fmc_json_is_number_or_null(fmc_json value)
{
    if (fmc_json_is_null(value)) return true;
    return value != NULL && (*value == '-' || is_digit(*value)) && isfinite(fmc_decimal(value));
}
