/* Cycle counter, prefetch, bit scans, and the seeded hash of names. */
#ifndef QW_CPU_H
#define QW_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t qw_cycles(void) { return __rdtsc(); }
#else
#include <time.h>
static inline uint64_t qw_cycles(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
#endif

static inline void qw_prefetch(const void *p) { __builtin_prefetch(p, 1, 3); }
static inline int qw_ctz64(uint64_t v) { return __builtin_ctzll(v); }
static inline int qw_log2(uint64_t v) { return 63 - __builtin_clzll(v | 1); } /* of 0: 0 */

/* Multiply-fold over 8-byte words (the wyhash idea). Seeded, so that names cannot be chosen to collide. */
static inline uint64_t qw_fold(uint64_t a, uint64_t b) {
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}
static inline uint64_t qw_hash(const void *data, size_t n, uint64_t seed) {
    const uint8_t *p = (const uint8_t *)data;
    uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15ull), w;
    while (n >= 8) {
        memcpy(&w, p, 8);
        h = qw_fold(h ^ w, 0xa0761d6478bd642full);
        p += 8;
        n -= 8;
    }
    if (n) {
        w = 0;
        memcpy(&w, p, n);
        h = qw_fold(h ^ w, 0xe7037ed1a0b428dbull);
    }
    return qw_fold(h ^ 0x8ebc6af09c88c6e3ull, 0x589965cc75374cc3ull);
}

#endif
