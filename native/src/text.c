#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONGEST = 160, LONGEST_ESCAPE = 6 };

/* Makes room for so many bytes more. */
static bool make_room(fmc_text *text, size_t size)
{
    if (text->room - text->size >= size) return !text->failed;
    size_t room = 2 * text->room + size;
    uint8_t *bytes = text->failed || room < size ? NULL : realloc(text->bytes, room);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->room = room;
    return true;
}

void fmc_append(fmc_text *text, const char *format, ...)
{
    va_list arguments;
    if (!make_room(text, LONGEST)) return;
    va_start(arguments, format);
    int length = vsnprintf((char *)text->bytes + text->size, LONGEST, format, arguments);
    va_end(arguments);
    text->size += (size_t)length;
}

void fmc_append_json(fmc_text *text, const uint8_t *bytes, size_t size)
{
    if (size > SIZE_MAX / LONGEST_ESCAPE - 2 || !make_room(text, LONGEST_ESCAPE * size + 2)) return;
    text->bytes[text->size++] = '"';
    for (size_t place = 0; place < size; place++) {
        uint8_t byte = bytes[place];
        if (byte < 0x20 || byte == '"' || byte == '\\')
            text->size += (size_t)sprintf((char *)text->bytes + text->size, "\\u%04x", byte);
        else
            text->bytes[text->size++] = byte;
    }
    text->bytes[text->size++] = '"';
}
