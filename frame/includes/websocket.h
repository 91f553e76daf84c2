/* WebSocket frame headers (RFC 6455 section 5), without extensions: RSV bits must be 0.
 * Lengths must use the shortest form (5.2), control frames are final and carry at most 125 bytes (5.5). */
#ifndef QW_WEBSOCKET_H
#define QW_WEBSOCKET_H

#include "frame/includes/bytes.h"
#include "frame/includes/codes.h"
#include "frame/includes/utf8.h"

enum {
    QW_WS_CONTINUATION = 0,
    QW_WS_TEXT = 1,
    QW_WS_BINARY = 2,
    QW_WS_CLOSE = 8,
    QW_WS_PING = 9,
    QW_WS_PONG = 10,
    QW_WS_HEADER_MAX = 14,
    QW_WS_CONTROL_MAX = 125,
    QW_WS_MASK_SIZE = 4,
};

/* Codes of a close (7.4.1). */
enum {
    QW_WS_NORMAL = 1000,
    QW_WS_GOING_AWAY = 1001,
    QW_WS_PROTOCOL_ERROR = 1002,
    QW_WS_UNSUPPORTED = 1003,
    QW_WS_NO_CODE = 1005, /* an empty payload; never sent */
    QW_WS_NOT_UTF8 = 1007,
    QW_WS_TOO_BIG = 1009,
    QW_WS_TRY_LATER = 1013,
};

typedef struct {
    uint8_t opcode;
    uint8_t fin;
    uint8_t masked;
    uint8_t mask[QW_WS_MASK_SIZE]; /* zeros when not masked */
    uint64_t payload_len;
} qw_ws_header;

static inline int qw_ws_opcode_known(int opcode) {
    return opcode <= QW_WS_BINARY || (opcode >= QW_WS_CLOSE && opcode <= QW_WS_PONG);
}

/* Consumed = the header's 2..14 bytes. Whether the mask must be present depends on the side, so the caller judges it. */
static inline ptrdiff_t qw_ws_header_parse(const uint8_t *p, size_t n, uint64_t max_payload, qw_ws_header *out) {
    if (n == 0) return QW_NEED_MORE;
    int opcode = p[0] & 0x0f, fin = p[0] >> 7;
    if (p[0] & 0x70) return QW_MALFORMED;
    if (!qw_ws_opcode_known(opcode)) return QW_MALFORMED;
    if (opcode >= QW_WS_CLOSE && !fin) return QW_MALFORMED;
    if (n < 2) return QW_NEED_MORE;
    int masked = p[1] >> 7;
    uint64_t len = p[1] & 0x7f;
    size_t at = 2;
    if (len > QW_WS_CONTROL_MAX) {
        if (opcode >= QW_WS_CLOSE) return QW_MALFORMED;
        if (len == 126) {
            if (n < 4) return QW_NEED_MORE;
            len = qw_get_u16(p + 2);
            if (len < 126) return QW_MALFORMED;
            at = 4;
        } else {
            if (n < 10) return QW_NEED_MORE;
            len = qw_get_u64(p + 2);
            if (len < 65536 || len >> 63) return QW_MALFORMED;
            at = 10;
        }
    }
    if (len > max_payload) return QW_TOO_BIG;
    if (masked) {
        if (n < at + 4) return QW_NEED_MORE;
        memcpy(out->mask, p + at, 4);
        at += 4;
    } else memset(out->mask, 0, 4);
    out->opcode = (uint8_t)opcode;
    out->fin = (uint8_t)fin;
    out->masked = (uint8_t)masked;
    out->payload_len = len;
    return (ptrdiff_t)at;
}

/* Fragmentation (5.4): *message is the opcode of the message under way, 0 for none; start with 0.
 * Returns 1 and updates it, or MALFORMED for a continuation of nothing or a new message inside another. */
static inline int qw_ws_sequence(uint8_t *message, const qw_ws_header *h) {
    if (h->opcode >= QW_WS_CLOSE) return 1;
    if (h->opcode == QW_WS_CONTINUATION) {
        if (*message == 0) return QW_MALFORMED;
        if (h->fin) *message = 0;
        return 1;
    }
    if (*message != 0) return QW_MALFORMED;
    if (!h->fin) *message = h->opcode;
    return 1;
}

/* XOR p[0..n) in place with the 4-byte mask; offset = payload bytes of this frame before p. Masks and unmasks. */
static inline void qw_ws_mask(uint8_t *p, size_t n, const uint8_t *mask, uint64_t offset) {
    uint8_t turned[sizeof(uint64_t)];
    for (unsigned i = 0; i < 8; i++) turned[i] = mask[(offset + i) & 3];
    uint64_t key, word;
    memcpy(&key, turned, 8);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= key;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++) p[i] ^= turned[i & 7];
}

static inline size_t qw_ws_length_put(uint8_t *p, uint8_t mask_bit, uint64_t payload_len) {
    if (payload_len <= QW_WS_CONTROL_MAX) {
        p[0] = (uint8_t)(mask_bit | payload_len);
        return 1;
    }
    if (payload_len <= UINT16_MAX) {
        p[0] = mask_bit | 126;
        qw_put_u16(p + 1, (uint16_t)payload_len);
        return 3;
    }
    p[0] = mask_bit | 127;
    qw_put_u64(p + 1, payload_len);
    return 9;
}

/* Server side: one final, unmasked frame header (room for 10 bytes); return the count. */
static inline size_t qw_ws_header_put(uint8_t *p, int opcode, uint64_t payload_len) {
    p[0] = (uint8_t)(0x80 | (opcode & 0x0f));
    return 1 + qw_ws_length_put(p + 1, 0, payload_len);
}

/* Client side: one final, masked frame header (room for 14 bytes); the payload is masked by the caller. */
static inline size_t qw_ws_header_put_masked(uint8_t *p, int opcode, uint64_t payload_len, const uint8_t *mask) {
    p[0] = (uint8_t)(0x80 | (opcode & 0x0f));
    size_t at = 1 + qw_ws_length_put(p + 1, 0x80, payload_len);
    memcpy(p + at, mask, 4);
    return at + 4;
}

/* Codes a peer may put into a close frame: 7.4.1, 7.4.2 and the IANA registry (1012-1014). */
static inline int qw_ws_close_code_valid(unsigned code) {
    if (code >= 3000) return code <= 4999;
    return code >= QW_WS_NORMAL && code <= 1014 && code != 1004 && code != QW_WS_NO_CODE && code != 1006;
}

/* Payload of a close frame, unmasked and whole. 1 with *code (NO_CODE when empty), or MALFORMED with *code set to the
 * status to answer: PROTOCOL_ERROR for a bad length or code, NOT_UTF8 for a reason that is not UTF-8. */
static inline int qw_ws_close_parse(const uint8_t *p, size_t n, uint16_t *code) {
    *code = QW_WS_NO_CODE;
    if (n == 0) return 1;
    *code = QW_WS_PROTOCOL_ERROR;
    if (n == 1 || n > QW_WS_CONTROL_MAX || !qw_ws_close_code_valid(qw_get_u16(p))) return QW_MALFORMED;
    *code = QW_WS_NOT_UTF8;
    if (!qw_utf8_valid(p + 2, n - 2)) return QW_MALFORMED;
    *code = qw_get_u16(p);
    return 1;
}

#endif
