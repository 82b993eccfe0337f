/* Numbers of an artifact, which may lie at any address: little-endian, read by memcpy. */
#ifndef FMC_BYTES_H
#define FMC_BYTES_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "artifacts are little-endian, and are read as they are"
#endif

static inline uint16_t fmc_load_u16(const void *at)
{
    uint16_t found;
    memcpy(&found, at, sizeof found);
    return found;
}

static inline uint32_t fmc_load_u32(const void *at)
{
    uint32_t found;
    memcpy(&found, at, sizeof found);
    return found;
}

static inline uint64_t fmc_load_u64(const void *at)
{
    uint64_t found;
    memcpy(&found, at, sizeof found);
    return found;
}

static inline float fmc_load_f32(const void *at)
{
    float found;
    memcpy(&found, at, sizeof found);
    return found;
}

/* The same of the bytes up to `end`, with zeros for those that are missing. */
static inline uint64_t fmc_load_up_to(const uint8_t *at, const uint8_t *end)
{
    uint64_t found = 0;
    if (end - at >= 8) return fmc_load_u64(at);
    if (at < end) memcpy(&found, at, (size_t)(end - at));
    return found;
}

/* Returns a finite number in IEEE half precision. */
static inline float fmc_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7FFF;
    if (rest < 0x0400) { /* subnormal: a multiple of 2^-24 */
        float small = (float)rest * 0x1p-24f;
        return sign ? -small : small;
    }
    uint32_t bits = sign | ((rest << 13) + ((127 - 15) << 23));
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

#endif
