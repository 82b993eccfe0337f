/* Numbers out of bytes at any address, and codes out of bit streams. */
#ifndef FMC_BITS_H
#define FMC_BITS_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "artifacts are little-endian, and are read as they are"
#endif

static inline uint16_t fmc_load16(const uint8_t *at)
{
    uint16_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t fmc_load32(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline float fmc_load_float(const uint8_t *at)
{
    float number;
    memcpy(&number, at, sizeof number);
    return number;
}

enum { FMC_LOAD_BITS = 57 }; /* of a load of 64 bits, whatever the bit of the first byte that is wanted */

/* The 64 bits from a byte on; zeros beyond the end of what there is. */
static inline uint64_t fmc_load64(const uint8_t *at, const uint8_t *end)
{
    uint64_t word = 0;
    size_t left = (size_t)(end - at);
    if (left >= sizeof word) {
        memcpy(&word, at, sizeof word);
        return word;
    }
    for (size_t byte = 0; byte < left; byte++) word |= (uint64_t)at[byte] << (8 * byte);
    return word;
}

/* A finite number in half precision. Where its exponent is 0, the power of two is set right by a subtraction: a product
 * would be lost on threads that flush small numbers to zero. */
static inline float fmc_half(uint16_t half)
{
    uint32_t bits = ((uint32_t)half & 0x7FFFU) << 13;
    float number;
    if (bits >= 1U << 23) {
        bits += 112U << 23;
        memcpy(&number, &bits, sizeof number);
    } else {
        bits += 113U << 23;
        memcpy(&number, &bits, sizeof number);
        number -= 0x1p-14F;
    }
    return half & 0x8000U ? -number : number;
}

#endif
