#include "decimal.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIGITS = 800, /* more never change how a decimal number is rounded, but by whether there are any */
    MOST_DIGITS = 17, /* of the shortest number that is read as a double */
    MAX_EXPONENT = 100000
};

static const uint8_t *read_exponent(const uint8_t *at, int64_t *exponent)
{
    if (*at != 'e' && *at != 'E') return at;
    at++;
    bool negative = *at == '-';
    if (*at == '-' || *at == '+') at++;
    int64_t found = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        if (found < INT64_C(1) << 40) found = 10 * found + (*at - '0');
    *exponent += negative ? -found : found;
    return at;
}

/* strtod minds the locale only where there is a decimal point: it is given the digits and an exponent. */
double fmc_decimal(const uint8_t *text)
{
    char digits[DIGITS + 16];
    size_t count = 0;
    int64_t exponent = 0;
    bool point = false, more = false;
    const uint8_t *at = text;
    if (*at == '-') at++;
    for (; (*at >= '0' && *at <= '9') || (*at == '.' && !point); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        exponent -= point;
        if (count == 0 && *at == '0') continue;
        if (count < DIGITS) {
            digits[count++] = (char)*at;
        } else {
            more |= *at != '0';
            exponent++;
        }
    }
    read_exponent(at, &exponent);
    if (count == 0) return *text == '-' ? -0.0 : 0.0;
    if (more) {
        digits[count++] = '1';
        exponent--;
    }
    if (exponent > MAX_EXPONENT) exponent = MAX_EXPONENT;
    if (exponent < -MAX_EXPONENT) exponent = -MAX_EXPONENT;
    snprintf(digits + count, sizeof digits - count, "e%d", (int)exponent);
    double found = strtod(digits, NULL);
    return *text == '-' ? -found : found;
}

/* Writes number · 10^exponent, and returns what is read from that. */
static double value_of(uint64_t number, int exponent)
{
    char text[48];
    snprintf(text, sizeof text, "%llue%d", (unsigned long long)number, exponent);
    return strtod(text, NULL);
}

/* Finds the shortest number · 10^exponent that is read as `positive`. */
static uint64_t shortest(double positive, int *exponent)
{
    uint64_t number = 0;
    for (int digits = 1; digits <= MOST_DIGITS; digits++) {
        char text[48];
        snprintf(text, sizeof text, "%.*e", digits - 1, positive);
        const char *at = text;
        for (number = 0; *at != 'e'; at++)
            if (*at >= '0' && *at <= '9') number = 10 * number + (uint64_t)(*at - '0');
        *exponent = atoi(at + 1) - (digits - 1);
        /* Of a power of two the doubles below lie closer: only the next larger decimal may be read as it. */
        for (uint64_t larger = 0; larger < 2; larger++)
            if (value_of(number + larger, *exponent) == positive) return number + larger;
    }
    return number;
}

void fmc_write_decimal(double number, char *into)
{
    if (signbit(number)) *into++ = '-';
    if (number == 0) {
        strcpy(into, "0");
        return;
    }
    int exponent;
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)shortest(fabs(number), &exponent));
    int count = (int)strlen(digits);
    for (; count > 1 && digits[count - 1] == '0'; exponent++) digits[--count] = '\0';
    int point = count + exponent; /* digits before the decimal point */
    if (point > 16 || point <= -4) {
        snprintf(into, FMC_DECIMAL_BYTES - 1, "%c%s%se%c%02d", digits[0], count > 1 ? "." : "", digits + 1,
                 point > 0 ? '+' : '-', abs(point - 1));
    } else if (point <= 0) {
        snprintf(into, FMC_DECIMAL_BYTES - 1, "0.%.*s%s", -point, "000", digits);
    } else if (point >= count) {
        snprintf(into, FMC_DECIMAL_BYTES - 1, "%s%.*s", digits, point - count, "0000000000000000");
    } else {
        snprintf(into, FMC_DECIMAL_BYTES - 1, "%.*s.%s", point, digits, digits + point);
    }
}
