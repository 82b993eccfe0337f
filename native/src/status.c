#include "status.h"

#include <stdarg.h>
#include <stdio.h>

fmc_status fmc_fail(fmc_status status, char *message, const char *format, ...)
{
    if (message == NULL) return status;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, FMC_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    if (length >= FMC_MESSAGE_BYTES) {
        /* No half of a character at the end. */
        size_t end = FMC_MESSAGE_BYTES - 1;
        while (end > 0 && ((unsigned char)message[end - 1] & 0xC0) == 0x80) end--;
        if (end > 0 && ((unsigned char)message[end - 1] & 0x80)) end--;
        message[end] = '\0';
    }
    return status;
}
