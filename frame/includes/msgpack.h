/* The part of msgpack that QW1 uses (docs/PROTOCOL.md, msgpack): nil, bool, int, finite float, str, bin, array, map with
 * string keys, at most 32 levels. Values are judged, not read. */
#ifndef QW_MSGPACK_H
#define QW_MSGPACK_H

#include <string.h>

#include "frame/includes/codes.h"
#include "frame/includes/utf8.h"

enum { QW_MSGPACK_LEVELS = 32 };
enum { QW_MP_SCALAR = 1, QW_MP_FLOAT, QW_MP_STR, QW_MP_BIN, QW_MP_ARRAY, QW_MP_MAP };

typedef struct {
    int kind;
    size_t head;   /* bytes before what follows */
    size_t follow; /* bytes of a SCALAR, FLOAT, STR, BIN; values of an ARRAY; pairs of a MAP */
} qw_msgpack;

/* A head whose count stands in the `width` bytes behind the first. */
static inline int qw_msgpack_wide(const uint8_t *p, size_t n, int kind, size_t width, qw_msgpack *out) {
    if (n <= width) return QW_MALFORMED;
    out->kind = kind;
    out->head = 1 + width;
    out->follow = 0;
    for (size_t i = 1; i <= width; i++) out->follow = out->follow << 8 | p[i];
    return 1;
}

/* The head of the value at p: 1 or MALFORMED. Whether what follows is there is the caller's to judge. */
static inline int qw_msgpack_head(const uint8_t *p, size_t n, qw_msgpack *out) {
    if (n == 0) return QW_MALFORMED;
    uint8_t b = p[0];
    out->kind = QW_MP_SCALAR;
    out->head = 1;
    out->follow = 0;
    if (b < 0x80 || b >= 0xe0 || b == 0xc0 || b == 0xc2 || b == 0xc3) return 1;
    if (b < 0xc0) {
        out->kind = b < 0x90 ? QW_MP_MAP : b < 0xa0 ? QW_MP_ARRAY : QW_MP_STR;
        out->follow = b & (b < 0xa0 ? 0x0f : 0x1f);
        return 1;
    }
    if (b >= 0xcc && b <= 0xd3) {
        out->follow = (size_t)1 << (b & 3);
        return 1;
    }
    if (b == 0xca || b == 0xcb) {
        out->kind = QW_MP_FLOAT;
        out->follow = b == 0xca ? 4 : 8;
        return 1;
    }
    if (b >= 0xc4 && b <= 0xc6) return qw_msgpack_wide(p, n, QW_MP_BIN, (size_t)1 << (b - 0xc4), out);
    if (b >= 0xd9 && b <= 0xdb) return qw_msgpack_wide(p, n, QW_MP_STR, (size_t)1 << (b - 0xd9), out);
    if (b == 0xdc || b == 0xdd) return qw_msgpack_wide(p, n, QW_MP_ARRAY, (size_t)2 << (b - 0xdc), out);
    if (b == 0xde || b == 0xdf) return qw_msgpack_wide(p, n, QW_MP_MAP, (size_t)2 << (b - 0xde), out);
    return QW_MALFORMED; /* ext types, and 0xc1 */
}

/* An IEEE 754 number of 4 or 8 bytes: neither infinite nor none at all. */
static inline int qw_msgpack_finite(const uint8_t *p, size_t size) {
    if (size == 4) return (p[0] & 0x7f) != 0x7f || (p[1] & 0x80) != 0x80;
    return (p[0] & 0x7f) != 0x7f || (p[1] & 0xf0) != 0xf0;
}

/* 1 when p[0..n) is one map and nothing else, MALFORMED otherwise. */
static inline int qw_msgpack_map(const uint8_t *p, size_t n) {
    size_t left[QW_MSGPACK_LEVELS]; /* values to come, of every container that is open */
    uint8_t map[QW_MSGPACK_LEVELS];
    size_t at = 0;
    int open = 0;
    qw_msgpack v;
    do {
        if (qw_msgpack_head(p + at, n - at, &v) < 0) return QW_MALFORMED;
        if (open == 0 && v.kind != QW_MP_MAP) return QW_MALFORMED;
        if (open && map[open - 1] && left[open - 1] % 2 == 0 && v.kind != QW_MP_STR) return QW_MALFORMED;
        at += v.head;
        if (open) left[open - 1]--;
        if (v.follow > n - at) return QW_MALFORMED; /* a value takes a byte at least */
        if (v.kind == QW_MP_ARRAY || v.kind == QW_MP_MAP) {
            if (open == QW_MSGPACK_LEVELS) return QW_MALFORMED;
            map[open] = v.kind == QW_MP_MAP;
            left[open++] = v.kind == QW_MP_MAP ? 2 * v.follow : v.follow;
        } else {
            if (v.kind == QW_MP_STR && !qw_utf8_valid(p + at, v.follow)) return QW_MALFORMED;
            if (v.kind == QW_MP_FLOAT && !qw_msgpack_finite(p + at, v.follow)) return QW_MALFORMED;
            at += v.follow;
        }
        while (open && left[open - 1] == 0) open--;
    } while (open);
    return at == n ? 1 : QW_MALFORMED;
}

/* 1 when p[0..n), which qw_msgpack_map has judged, has `false` under this key. */
static inline int qw_msgpack_denies(const uint8_t *p, size_t n, const char *key, size_t length) {
    qw_msgpack v;
    qw_msgpack_head(p, n, &v);
    size_t pairs = v.follow, at = v.head, values;
    for (; pairs; pairs--) {
        qw_msgpack_head(p + at, n - at, &v);
        at += v.head + v.follow;
        if (v.follow == length && memcmp(p + at - length, key, length) == 0) return p[at] == 0xc2;
        for (values = 1; values; values--) {
            qw_msgpack_head(p + at, n - at, &v);
            at += v.head;
            if (v.kind == QW_MP_ARRAY || v.kind == QW_MP_MAP)
                values += v.kind == QW_MP_MAP ? 2 * v.follow : v.follow;
            else
                at += v.follow;
        }
    }
    return 0;
}

#endif
