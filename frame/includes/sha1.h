/* SHA-1 (RFC 3174) and base64 (RFC 4648) of short inputs, for Sec-WebSocket-Accept only: SHA-1 protects nothing here. */
#ifndef QW_SHA1_H
#define QW_SHA1_H

#include "frame/includes/bytes.h"

#include <stddef.h>

enum { QW_SHA1_SIZE = 20, QW_SHA1_BLOCK = 64, QW_SHA1_WORDS = QW_SHA1_SIZE / 4, QW_SHA1_STEPS = 80 };

static inline uint32_t qw_rol32(uint32_t v, int bits) {
    return (v << bits) | (v >> (32 - bits));
}

static inline void qw_sha1_block(uint32_t h[QW_SHA1_WORDS], const uint8_t *p) {
    uint32_t w[QW_SHA1_STEPS];
    for (int i = 0; i < 16; i++) w[i] = qw_get_u32(p + 4 * i);
    for (int i = 16; i < QW_SHA1_STEPS; i++) w[i] = qw_rol32(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < QW_SHA1_STEPS; i++) {
        uint32_t f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t t = qw_rol32(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = qw_rol32(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

static inline void qw_sha1(const uint8_t *p, size_t n, uint8_t digest[QW_SHA1_SIZE]) {
    uint32_t h[QW_SHA1_WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t left = n;
    for (; left >= QW_SHA1_BLOCK; left -= QW_SHA1_BLOCK, p += QW_SHA1_BLOCK) qw_sha1_block(h, p);
    uint8_t tail[2 * QW_SHA1_BLOCK] = {0};
    size_t size = left < QW_SHA1_BLOCK - sizeof(uint64_t) ? QW_SHA1_BLOCK : sizeof tail;
    if (left) memcpy(tail, p, left);
    tail[left] = 0x80;
    qw_put_u64(tail + size - sizeof(uint64_t), (uint64_t)n * 8);
    qw_sha1_block(h, tail);
    if (size == sizeof tail) qw_sha1_block(h, tail + QW_SHA1_BLOCK);
    for (int i = 0; i < QW_SHA1_WORDS; i++) qw_put_u32(digest + 4 * i, h[i]);
}

/* Padded base64 of n bytes; writes 4 * ceil(n / 3) characters, no terminator. Returns the count. */
static inline size_t qw_base64_put(uint8_t *out, const uint8_t *p, size_t n) {
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        if (i + 1 < n) v |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < n) v |= p[i + 2];
        out[at++] = (uint8_t)abc[v >> 18];
        out[at++] = (uint8_t)abc[v >> 12 & 63];
        out[at++] = (uint8_t)(i + 1 < n ? abc[v >> 6 & 63] : '=');
        out[at++] = (uint8_t)(i + 2 < n ? abc[v & 63] : '=');
    }
    return at;
}

#endif
