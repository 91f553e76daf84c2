/* Preamble: 'Q' 'W' | u8 version | u8 pattern | u8 suite | u8 flags | u16 key_id. The 8 bytes are the Noise prologue.
 * First flight: preamble | u8 len, ticket (patterns 2 and 3 only) | u16 len, Noise message 1. What stands before the u16 is
 * the Noise prologue.
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

typedef struct {
    qw_preamble preamble;
    size_t prologue_len;   /* from the start of the input */
    const uint8_t *ticket; /* NULL: the pattern has none */
    size_t ticket_len;
    const uint8_t *message;
    size_t message_len;
} qw_flight;

/* The whole first flight. A message below QW_HANDSHAKE_MIN or an empty ticket is MALFORMED, a message above what its pattern
 * may have TOO_BIG: known with its length bytes. Whether the pattern is served is the caller's to judge. */
static inline ptrdiff_t qw_flight_parse(const uint8_t *p, size_t n, qw_flight *out) {
    size_t at = QW_PREAMBLE_SIZE, most = QW_HANDSHAKE_MAX, len;
    ptrdiff_t used = qw_preamble_parse(p, n, &out->preamble);
    if (used <= 0) return used;
    out->ticket = NULL;
    out->ticket_len = 0;
    if (out->preamble.pattern == QW_PATTERN_NKPSK0 || out->preamble.pattern == QW_PATTERN_NNPSK0) {
        if (n == at) return QW_NEED_MORE;
        out->ticket_len = p[at++];
        if (out->ticket_len == 0) return QW_MALFORMED;
        if (n - at < out->ticket_len) return QW_NEED_MORE;
        out->ticket = p + at;
        at += out->ticket_len;
        most = QW_HANDSHAKE_MIN + QW_RESUME_PAYLOAD_MAX;
    }
    out->prologue_len = at;
    if (n - at < 2) return QW_NEED_MORE;
    len = qw_get_u16(p + at);
    at += 2;
    if (len < QW_HANDSHAKE_MIN) return QW_MALFORMED;
    if (len > most) return QW_TOO_BIG;
    if (n - at < len) return QW_NEED_MORE;
    out->message = p + at;
    out->message_len = len;
    return (ptrdiff_t)(at + len);
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
