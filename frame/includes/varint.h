/* uv: unsigned LEB128, 1..10 bytes, the shortest encoding only. */
#ifndef QW_VARINT_H
#define QW_VARINT_H

#include "frame/includes/codes.h"

enum { QW_UV_MAX = 10 };

/* Write v at p (room for 10 bytes); return the count. */
static inline int qw_uv_put(uint8_t *p, uint64_t v) {
    int n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

static inline int qw_uv_size(uint64_t v) {
    return (63 - __builtin_clzll(v | 1)) / 7 + 1;
}

static inline int qw_uv_get(const uint8_t *p, size_t n, uint64_t *out) {
    if (QW_UNLIKELY(n == 0)) return QW_NEED_MORE;
    if (QW_LIKELY(p[0] < 0x80)) {
        *out = p[0];
        return 1;
    }
    uint64_t v = p[0] & 0x7f;
    for (int i = 1; i < QW_UV_MAX; i++) {
        if ((size_t)i >= n) return QW_NEED_MORE;
        uint8_t b = p[i];
        if (i == QW_UV_MAX - 1 && b > 1) return QW_MALFORMED; /* 10th byte carries bit 63 only */
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            if (b == 0) return QW_MALFORMED; /* a shorter encoding exists */
            *out = v;
            return i + 1;
        }
    }
    return QW_MALFORMED;
}

#endif
