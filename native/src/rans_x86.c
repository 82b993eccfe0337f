/* Symbols of 8 or 16 lanes at once, with AVX2 and AVX-512. */
#include "rans.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { WORD_BITS = 16, WORD_BYTES = 2, SLOTS = 1 << FMC_FREQUENCY_BITS, EIGHT = 8, SIXTEEN = 16 };

__attribute__((target("avx512f,avx512bw,avx512vl,popcnt")))
size_t fmc_decode_avx512(fmc_decoder *decoder, uint16_t *into, size_t count)
{
    const __m512i slots = _mm512_set1_epi32(SLOTS - 1), widths = _mm512_set1_epi32(0xFFFF), lowest = _mm512_set1_epi32(1 << WORD_BITS);
    const uint8_t *at = decoder->at;
    size_t done = 0;
    uint32_t lane = decoder->lane;
    for (; done + SIXTEEN <= count && decoder->end - at >= SIXTEEN * WORD_BYTES; done += SIXTEEN) {
        __m512i state = _mm512_loadu_si512(decoder->states + lane), slot = _mm512_and_si512(state, slots);
        /* Two bytes behind a symbol are read too. */
        __m512i symbol = _mm512_and_si512(_mm512_i32gather_epi32(slot, decoder->symbols, 2), widths);
        __m512i interval = _mm512_i32gather_epi32(symbol, decoder->intervals, 4);
        state = _mm512_mullo_epi32(_mm512_and_si512(interval, widths), _mm512_srli_epi32(state, FMC_FREQUENCY_BITS));
        state = _mm512_add_epi32(state, _mm512_sub_epi32(slot, _mm512_srli_epi32(interval, 16)));
        __mmask16 low = _mm512_cmplt_epu32_mask(state, lowest);
        __m512i words = _mm512_maskz_expand_epi32(low, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)at)));
        state = _mm512_mask_or_epi32(state, low, _mm512_slli_epi32(state, WORD_BITS), words);
        _mm512_storeu_si512(decoder->states + lane, state);
        _mm256_storeu_si256((__m256i *)(into + done), _mm512_cvtepi32_epi16(symbol));
        at += (size_t)_mm_popcnt_u32(low) * WORD_BYTES;
        lane = (lane + SIXTEEN) & (decoder->lanes - 1);
    }
    decoder->at = at;
    decoder->lane = lane;
    return done;
}

__attribute__((target("avx2,bmi2,popcnt")))
size_t fmc_decode_avx2(fmc_decoder *decoder, uint16_t *into, size_t count)
{
    const __m256i slots = _mm256_set1_epi32(SLOTS - 1), widths = _mm256_set1_epi32(0xFFFF), zero = _mm256_setzero_si256();
    const uint8_t *at = decoder->at;
    size_t done = 0;
    uint32_t lane = decoder->lane;
    for (; done + EIGHT <= count && decoder->end - at >= EIGHT * WORD_BYTES; done += EIGHT) {
        __m256i state = _mm256_loadu_si256((const __m256i *)(decoder->states + lane)), slot = _mm256_and_si256(state, slots);
        __m256i symbol = _mm256_and_si256(_mm256_i32gather_epi32((const int *)(const void *)decoder->symbols, slot, 2), widths);
        __m256i interval = _mm256_i32gather_epi32((const int *)decoder->intervals, symbol, 4);
        state = _mm256_mullo_epi32(_mm256_and_si256(interval, widths), _mm256_srli_epi32(state, FMC_FREQUENCY_BITS));
        state = _mm256_add_epi32(state, _mm256_sub_epi32(slot, _mm256_srli_epi32(interval, 16)));
        __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(state, WORD_BITS), zero);
        uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low));
        /* The words go to the lanes that need one, in their order. */
        uint64_t bytes = _pdep_u64(mask, 0x0101010101010101) * 0xFF, order = _pdep_u64(0x0706050403020100, bytes);
        __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at));
        words = _mm256_permutevar8x32_epi32(words, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)order)));
        __m256i filled = _mm256_or_si256(_mm256_slli_epi32(state, WORD_BITS), words);
        state = _mm256_blendv_epi8(state, filled, low);
        _mm256_storeu_si256((__m256i *)(decoder->states + lane), state);
        __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(symbol), _mm256_extracti128_si256(symbol, 1));
        _mm_storeu_si128((__m128i *)(into + done), halves);
        at += (size_t)_mm_popcnt_u32(mask) * WORD_BYTES;
        lane = (lane + EIGHT) & (decoder->lanes - 1);
    }
    decoder->at = at;
    decoder->lane = lane;
    return done;
}

#endif
