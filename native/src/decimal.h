/* Decimal numbers and doubles, whatever the locale of the process says of decimal points. */
#ifndef FMC_DECIMAL_H
#define FMC_DECIMAL_H

#include <stdint.h>

/* Bytes that the text of a double has room in. */
enum { FMC_DECIMAL_BYTES = 48 };

/* Returns the double nearest to a decimal number, which ends where it can go on no further: sign, digits, point and
 * digits, exponent. Infinite where it is too large. */
double fmc_decimal(const uint8_t *text);

/* Writes the shortest decimal number that is read as this finite double, as Python does, but without a ".0" at its end. */
void fmc_write_decimal(double number, char *into);

#endif
