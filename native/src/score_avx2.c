/* AVX2, with F16C and FMA. */
typedef int fmc_no_empty_file_avx2;

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c,fma,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,f16c,fma,bmi,bmi2,popcnt")
#endif

#include "score_x86.h"

#define FMC_SCORE fmc_score_avx2
#define FMC_SCORE_NETWORK fmc_network_avx2
#include "score_template.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
