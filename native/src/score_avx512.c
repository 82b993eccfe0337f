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

#include "score_x86.h"

typedef float floats16 __attribute__((vector_size(64)));

#define FMC_WIDE

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

static inline floats16 float8x2(const uint8_t *low, const uint8_t *high)
{
    __m512 first = _mm512_castps256_ps512(_mm256_loadu_ps((const float *)low));
    return (floats16)_mm512_insertf32x8(first, _mm256_loadu_ps((const float *)high), 1);
}

static inline floats16 fma16(floats16 a, floats16 b, floats16 c)
{
    return (floats16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

static inline floats8 fold16(floats16 x)
{
    return (floats8)_mm256_add_ps(_mm512_castps512_ps256((__m512)x), _mm512_extractf32x8_ps((__m512)x, 1));
}

#define FMC_SCORE fmc_score_avx512
#define FMC_SCORE_NETWORK fmc_network_avx512
#include "score_template.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
