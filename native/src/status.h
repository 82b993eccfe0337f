/* Failing with a message. */
#ifndef FMC_STATUS_H
#define FMC_STATUS_H

#include "fmcompress.h"

/* Writes a message, cut at FMC_MESSAGE_BYTES where a character ends, and returns the status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
fmc_status fmc_fail(fmc_status status, char *message, const char *format, ...);

/* For internal calls: returns from the caller where one fails. */
#define FMC_TRY(call)                                    \
    do {                                                 \
        fmc_status fmc_tried = (call);                   \
        if (fmc_tried != FMC_OK) return fmc_tried;       \
    } while (0)

#endif
