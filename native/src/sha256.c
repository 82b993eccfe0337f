#include "sha256.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define FMC_SHA_X86 1
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_SHA2)
#define FMC_SHA_ARM 1
#include <arm_neon.h>
#endif

enum { BLOCK = 64, ROUNDS = 64 };

static const uint32_t CONSTANTS[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void portable_block(uint32_t *state, const uint8_t *bytes)
{
    uint32_t w[ROUNDS];
    for (int t = 0; t < 16; t++) w[t] = big_endian(bytes + 4 * t);
    for (int t = 16; t < ROUNDS; t++) {
        uint32_t s0 = rotated(w[t - 15], 7) ^ rotated(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotated(w[t - 2], 17) ^ rotated(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < ROUNDS; t++) {
        uint32_t sum1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
        uint32_t first = h + sum1 + ((e & f) ^ (~e & g)) + CONSTANTS[t] + w[t];
        uint32_t sum0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
        uint32_t second = sum0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + first;
        d = c, c = b, b = a, a = first + second;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void fmc_sha256_portable(uint32_t *state, const uint8_t *bytes, size_t blocks)
{
    for (; blocks > 0; blocks--, bytes += BLOCK) portable_block(state, bytes);
}

#if defined(FMC_SHA_X86)

/* The instruction does two rounds, of a state that is kept as (a b e f) and (c d g h). */
__attribute__((target("sha,sse4.1,ssse3"))) static void native_blocks(uint32_t *state, const uint8_t *bytes,
                                                                      size_t blocks)
{
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);
    for (; blocks > 0; blocks--, bytes += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int part = 0; part < 4; part++)
            w[part] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * part)), order);
        for (int four = 0; four < 16; four++) {
            __m128i now = w[four & 3];
            __m128i sums = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)(const void *)(CONSTANTS + 4 * four)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sums);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sums, 0x0E));
            /* These four words are done with; those of four times four rounds later take their place. */
            __m128i last = w[(four + 3) & 3], before = w[(four + 2) & 3];
            __m128i next = _mm_sha256msg1_epu32(now, w[(four + 1) & 3]);
            w[four & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(next, _mm_alignr_epi8(last, before, 4)), last);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1B);
    high = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

static int has_instructions(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29);
}

#elif defined(FMC_SHA_ARM)

static void native_blocks(uint32_t *state, const uint8_t *bytes, size_t blocks)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; blocks > 0; blocks--, bytes += BLOCK) {
        const uint32x4_t abcd_before = abcd, efgh_before = efgh;
        uint32x4_t w[4];
        for (int part = 0; part < 4; part++) w[part] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes + 16 * part)));
        for (int four = 0; four < 16; four++) {
            uint32x4_t now = w[four & 3], sums = vaddq_u32(now, vld1q_u32(CONSTANTS + 4 * four)), abcd_now = abcd;
            abcd = vsha256hq_u32(abcd, efgh, sums);
            efgh = vsha256h2q_u32(efgh, abcd_now, sums);
            uint32x4_t next = vsha256su0q_u32(now, w[(four + 1) & 3]);
            w[four & 3] = vsha256su1q_u32(next, w[(four + 2) & 3], w[(four + 3) & 3]);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

static int has_instructions(void)
{
    return 1; /* the compiler was told so */
}

#else

#define native_blocks fmc_sha256_portable

static int has_instructions(void)
{
    return 0;
}

#endif

void fmc_sha256_blocks(uint32_t *state, const uint8_t *bytes, size_t blocks)
{
    /* Asked once: a virtual machine may take microseconds to answer. */
    enum { UNKNOWN, PORTABLE, NATIVE };
    static atomic_int known = UNKNOWN;
    int found = atomic_load_explicit(&known, memory_order_relaxed);
    if (found == UNKNOWN) {
        found = has_instructions() ? NATIVE : PORTABLE;
        atomic_store_explicit(&known, found, memory_order_relaxed);
    }
    (found == NATIVE ? native_blocks : fmc_sha256_portable)(state, bytes, blocks);
}

void fmc_sha256_start(fmc_sha256_state *hash)
{
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(hash->state, first, sizeof first);
    hash->bytes = 0;
}

void fmc_sha256_add(fmc_sha256_state *hash, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    size_t held = hash->bytes % BLOCK;
    if (size == 0) return;
    hash->bytes += size;
    if (held > 0) {
        size_t taken = size < BLOCK - held ? size : BLOCK - held;
        memcpy(hash->block + held, from, taken);
        from += taken;
        size -= taken;
        if (held + taken < BLOCK) return;
        fmc_sha256_blocks(hash->state, hash->block, 1);
    }
    fmc_sha256_blocks(hash->state, from, size / BLOCK);
    memcpy(hash->block, from + size / BLOCK * BLOCK, size % BLOCK);
}

void fmc_sha256_end(fmc_sha256_state *hash, char *hex)
{
    uint8_t filling[BLOCK + 8] = {0x80};
    uint64_t bits = hash->bytes * 8;
    size_t held = hash->bytes % BLOCK, zeros = (held < 56 ? 56 : 120) - held;
    for (size_t byte = 0; byte < 8; byte++) filling[zeros + byte] = (uint8_t)(bits >> (56 - 8 * byte));
    fmc_sha256_add(hash, filling, zeros + 8);
    for (size_t digit = 0; digit < 64; digit++)
        hex[digit] = "0123456789abcdef"[hash->state[digit / 8] >> (28 - 4 * (digit % 8)) & 0xF];
    hex[64] = '\0';
}
