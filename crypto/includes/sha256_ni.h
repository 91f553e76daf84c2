/* SHA-256 (FIPS 180-4) on the SHA instructions of x86-64. libsodium's is portable C; a handshake hashes about fifty
 * blocks, and these instructions take them from a sixth of its time to nothing (docs/decisions). Where the CPU has
 * none, or is no x86-64, qw_sha256_ni_available() says 0 and the caller stays with libsodium.
 */
#ifndef QW_SHA256_NI_H
#define QW_SHA256_NI_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

enum { QW_SHA256_ROUNDS = 64, QW_SHA256_BLOCK = 64, QW_SHA256_LANES = 4 };

static inline int qw_sha256_ni_available(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 19)) || !(c & (1u << 9)))
        return 0; /* SSE4.1, SSSE3 */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (b >> 29) & 1;
}

static const uint32_t qw_sha256_k[QW_SHA256_ROUNDS] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* Fold `blocks` blocks of 64 bytes into state (a..h as in FIPS 180-4). The unit keeps the words as ABEF and CDGH. */
__attribute__((target("sha,sse4.1,ssse3"))) static void
qw_sha256_ni_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(abcd, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, abcd, 0xF0);

    for (; blocks; blocks--, p += QW_SHA256_BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[QW_SHA256_LANES], round;
        for (int i = 0; i < QW_SHA256_LANES; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
        #pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            round = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(qw_sha256_k + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, round);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(round, 0x0E));
            if (i < 12) { /* the four schedule words that replace the ones just used */
                __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    abcd = _mm_shuffle_epi32(abef, 0x1B);
    efgh = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(abcd, efgh, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(efgh, abcd, 8));
}

/* SHA-256 of n bytes. The last, padded blocks are a copy on the stack and hold input: they are cleared. */
static void qw_sha256_ni(uint8_t *out, const uint8_t *data, size_t n)
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t last[2 * QW_SHA256_BLOCK] = {0};
    const size_t rest = n & 63, size = rest < QW_SHA256_BLOCK - sizeof(uint64_t) ? QW_SHA256_BLOCK : sizeof last;
    const uint64_t bits = (uint64_t)n * 8;

    qw_sha256_ni_blocks(state, data, n >> 6);
    if (rest)
        memcpy(last, data + (n - rest), rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[size - 1 - i] = (uint8_t)(bits >> (8 * i));
    qw_sha256_ni_blocks(state, last, size >> 6);
    for (int i = 0; i < 8; i++) {
        out[4 * i] = (uint8_t)(state[i] >> 24);
        out[4 * i + 1] = (uint8_t)(state[i] >> 16);
        out[4 * i + 2] = (uint8_t)(state[i] >> 8);
        out[4 * i + 3] = (uint8_t)state[i];
    }
    memset(last, 0, sizeof last);
    memset(state, 0, sizeof state);
    __asm__ volatile("" : : "r"(last), "r"(state) : "memory"); /* keeps both memsets */
}

#else

static inline int qw_sha256_ni_available(void) { return 0; }
static void qw_sha256_ni(uint8_t *out, const uint8_t *data, size_t n) { (void)out; (void)data; (void)n; }

#endif
#endif
