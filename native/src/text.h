/* A text that grows. */
#ifndef FMC_TEXT_H
#define FMC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *bytes; /* from malloc, to be freed by whoever began with zeros */
    size_t size, room;
    bool failed; /* memory was lacking: it is not whole */
} fmc_text;

/* Appends what printf makes, of less than 160 bytes. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void fmc_append(fmc_text *text, const char *format, ...);

/* Appends UTF-8 as a text of JSON. */
void fmc_append_json(fmc_text *text, const uint8_t *bytes, size_t size);

#endif
