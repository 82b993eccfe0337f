/* What AVX2 and AVX-512 have in common, compiled for each: vectors of 8 numbers. */
#include "bits.h"
#include "plan.h"

typedef float floats8 __attribute__((vector_size(32)));

static inline floats8 half8(const uint8_t *at) { return (floats8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at)); }

static inline floats8 int8x8(const uint8_t *at)
{
    return (floats8)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at)));
}

static inline floats8 fma8(floats8 a, floats8 b, floats8 c) { return (floats8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }

static inline float fmc_half1(const uint8_t *at) { return _cvtsh_ss(fmc_load16(at)); }

/* Addresses of the codewords that the codes in some bits name. */
static inline void codewords(const uint8_t **at, const fmc_group *group, uint64_t bits)
{
    __m256i codes = _mm256_srlv_epi64(_mm256_set1_epi64x((long long)bits), _mm256_load_si256((const __m256i *)group->shift));
    codes = _mm256_and_si256(codes, _mm256_load_si256((const __m256i *)group->mask));
    codes = _mm256_mul_epu32(codes, _mm256_load_si256((const __m256i *)group->bytes));
    codes = _mm256_add_epi64(codes, _mm256_load_si256((const __m256i *)group->table));
    _mm256_storeu_si256((__m256i *)at, codes);
}
