/* Plain C: compilers make of the vectors what the machine has. */
#include "bits.h"
#include "plan.h"

typedef float floats8 __attribute__((vector_size(32)));

static inline floats8 half8(const uint8_t *at)
{
    typedef uint32_t bits8 __attribute__((vector_size(32)));
    bits8 half, scaled, sign;
    for (int i = 0; i < 8; i++) half[i] = fmc_load16(at + 2 * i);
    scaled = (half & 0x7FFF) << 13;
    sign = (half & 0x8000) << 16;
    /* As fmc_half, for all 8 at once. */
    bits8 small = (bits8)(scaled < (1U << 23));
    bits8 lifted = scaled + (112U << 23) + (small & (1U << 23));
    floats8 number = (floats8)lifted - (floats8)(small & (113U << 23));
    return (floats8)((bits8)number | sign);
}

static inline floats8 int8x8(const uint8_t *at)
{
    floats8 numbers;
    for (int i = 0; i < 8; i++) numbers[i] = (float)(int8_t)at[i];
    return numbers;
}

static inline floats8 fma8(floats8 a, floats8 b, floats8 c) { return a * b + c; }

static inline float fmc_half1(const uint8_t *at) { return fmc_half(fmc_load16(at)); }

#define FMC_PLAIN_CODEWORDS
#define FMC_FOUR_LANES
#define FMC_SCORE fmc_score_portable
#define FMC_SCORE_NETWORK fmc_network_portable
#include "score_template.h"
