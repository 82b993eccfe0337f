/* AVX-512: two codewords of 8 coordinates make one vector. */
typedef int fmc_no_empty_file_avx512;

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,fma,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,fma,bmi,bmi2,popcnt")
#endif

#include "bits.h"
#include "plan.h"

typedef float floats8 __attribute__((vector_size(32)));
typedef float floats16 __attribute__((vector_size(64)));

#define FMC_WIDE

static inline floats8 half8(const uint8_t *at) { return (floats8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at)); }

static inline floats8 int8x8(const uint8_t *at)
{
    return (floats8)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at)));
}

static inline floats8 fma8(floats8 a, floats8 b, floats8 c) { return (floats8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }

static inline floats16 half16(const uint8_t *low, const uint8_t *high)
{
    __m256i both = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low));
    return (floats16)_mm512_cvtph_ps(_mm256_inserti128_si256(both, _mm_loadu_si128((const __m128i *)high), 1));
}

static inline floats16 int8x16(const uint8_t *low, const uint8_t *high)
{
    __m128i both = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)low), _mm_loadl_epi64((const __m128i *)high));
    return (floats16)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(both));
}

static inline floats16 fma16(floats16 a, floats16 b, floats16 c)
{
    return (floats16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

static inline floats8 fold16(floats16 x)
{
    return (floats8)_mm256_add_ps(_mm512_castps512_ps256((__m512)x), _mm512_extractf32x8_ps((__m512)x, 1));
}

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

#define FMC_SCORE fmc_score_avx512
#include "score_template.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
