/* Preamble: 'Q' 'W' | u8 version | u8 pattern | u8 suite | u8 flags | u16 key_id. The 8 bytes are the Noise prologue.
 * TLV: uv tag | uv len | bytes, the payload of both handshake messages.
 * REJECT: u16 0 | u8 code | u16 len | data, in the place of handshake message 2. */
#ifndef QW_PREAMBLE_H
#define QW_PREAMBLE_H

#include "frame/includes/bytes.h"
#include "frame/includes/constants.h"
#include "frame/includes/varint.h"

enum { QW_REJECT_HEADER = 5 };

typedef struct {
    uint8_t version;
    uint8_t pattern;
    uint8_t suite;
    uint8_t flags;
    uint16_t key_id;
} qw_preamble;

typedef struct {
    uint64_t tag;
    const uint8_t *value;
    size_t value_len;
} qw_tlv;

/* Only the magic is judged here: a wrong version or suite deserves a REJECT, which the caller writes. */
static inline ptrdiff_t qw_preamble_parse(const uint8_t *p, size_t n, qw_preamble *out) {
    if (n >= 1 && p[0] != 'Q') return QW_MALFORMED;
    if (n >= 2 && p[1] != 'W') return QW_MALFORMED;
    if (n < QW_PREAMBLE_SIZE) return QW_NEED_MORE;
    out->version = p[2];
    out->pattern = p[3];
    out->suite = p[4];
    out->flags = p[5];
    out->key_id = qw_get_u16(p + 6);
    return QW_PREAMBLE_SIZE;
}

/* Write the 8 bytes; return 8. */
static inline size_t qw_preamble_put(uint8_t *p, const qw_preamble *v) {
    p[0] = 'Q';
    p[1] = 'W';
    p[2] = v->version;
    p[3] = v->pattern;
    p[4] = v->suite;
    p[5] = v->flags;
    qw_put_u16(p + 6, v->key_id);
    return QW_PREAMBLE_SIZE;
}

/* One TLV of a complete payload. A value past the end is NEED_MORE; for a complete payload that is malformed. */
static inline ptrdiff_t qw_tlv_parse(const uint8_t *p, size_t n, qw_tlv *out) {
    uint64_t len;
    int a = qw_uv_get(p, n, &out->tag);
    if (a <= 0) return a;
    int b = qw_uv_get(p + a, n - (size_t)a, &len);
    if (b <= 0) return b;
    size_t head = (size_t)(a + b);
    if (len > UINT16_MAX) return QW_TOO_BIG; /* no handshake payload is that long */
    if (n - head < len) return QW_NEED_MORE;
    out->value = p + head;
    out->value_len = (size_t)len;
    return (ptrdiff_t)(head + len);
}

/* Write the 5 bytes before the data of a REJECT (data_len <= 65535); return 5. */
static inline size_t qw_reject_header_put(uint8_t *p, int code, size_t data_len) {
    qw_put_u16(p, 0);
    p[2] = (uint8_t)code;
    qw_put_u16(p + 3, (uint16_t)data_len);
    return QW_REJECT_HEADER;
}

#endif
