/* Frame: u8 h | [A: uv ack] | uv body_len | body, and the bodies the gateway reads itself.
 *
 *      7   6   5   4       0
 *    +---+---+---+-----------+
 *    | 0 | A | Z |   type    |    A: an ack follows.  Z: the body is compressed.
 *    +---+---+---+-----------+
 */
#ifndef QW_FRAMES_H
#define QW_FRAMES_H

#include "frame/includes/constants.h"
#include "frame/includes/msgpack.h"
#include "frame/includes/varint.h"

enum { QW_FRAME_HEADER_MAX = 1 + 2 * QW_UV_MAX, QW_REPLY_HEADER_MAX = 2 * QW_UV_MAX };

typedef struct {
    uint8_t type;        /* 0..31; whether it is known or may be skipped is the caller's to judge */
    uint8_t flags;       /* QW_FLAG_COMPRESSED, QW_FLAG_ACK as they stood in the header */
    uint64_t ack;        /* 0 without A */
    const uint8_t *body; /* into the input */
    size_t body_len;
} qw_frame;

typedef struct {
    uint64_t request;
    const uint8_t *name; /* target of SEND, method of CALL; UTF-8 is not judged here */
    size_t name_len;     /* 1..255 */
    const uint8_t *payload;
    size_t payload_len;
} qw_request;

typedef struct {
    uint64_t request;
    uint64_t code; /* 0 = ok */
    const uint8_t *payload;
    size_t payload_len;
} qw_reply;

typedef struct {
    uint8_t kind; /* 1 bearer, 2 key-bound; other values are the caller's to refuse */
    uint8_t platform;
    const uint8_t *token;
    size_t token_len;
    const uint8_t *binding;
    size_t binding_len;
    const uint8_t *device;
    size_t device_len;
    const uint8_t *extras; /* one msgpack map, or nothing */
    size_t extras_len;
    uint8_t declines; /* what its connection lost is over: no tickets for it */
} qw_auth_body;

typedef struct {
    uint8_t state;
    uint64_t next_interval_s; /* 0 when the body was empty: the policy's interval holds */
} qw_ping;

typedef struct {
    size_t raw_len;        /* size after decompression, within the limits */
    const uint8_t *packed; /* one zstd frame */
    size_t packed_len;
} qw_compressed;

/* One frame at p. In a record the frames are whole, so NEED_MORE there means a frame past the record's end. */
static inline ptrdiff_t qw_frame_parse(const uint8_t *p, size_t n, size_t max_body, qw_frame *out) {
    if (QW_UNLIKELY(n == 0)) return QW_NEED_MORE;
    uint8_t h = p[0];
    if (QW_UNLIKELY(h & QW_FLAG_RESERVED)) return QW_MALFORMED;
    size_t at = 1;
    uint64_t ack = 0, len;
    if (h & QW_FLAG_ACK) {
        int used = qw_uv_get(p + 1, n - 1, &ack);
        if (QW_UNLIKELY(used <= 0)) return used;
        at += (size_t)used;
    }
    int used = qw_uv_get(p + at, n - at, &len);
    if (QW_UNLIKELY(used <= 0)) return used;
    at += (size_t)used;
    if (QW_UNLIKELY(len > max_body)) return QW_TOO_BIG;
    if (QW_UNLIKELY(len > n - at)) return QW_NEED_MORE;
    out->type = h & QW_FRAME_TYPE_MASK;
    out->flags = h & (QW_FLAG_COMPRESSED | QW_FLAG_ACK);
    out->ack = ack;
    out->body = p + at;
    out->body_len = (size_t)len;
    return (ptrdiff_t)(at + (size_t)len);
}

/* Write a frame header (room for 21 bytes); the ack is written when flags carry A. Return the count. */
static inline size_t qw_frame_header_put(uint8_t *p, int type, int flags, uint64_t ack, size_t body_len) {
    size_t at = 1;
    p[0] = (uint8_t)((type & QW_FRAME_TYPE_MASK) | (flags & (QW_FLAG_COMPRESSED | QW_FLAG_ACK)));
    if (flags & QW_FLAG_ACK) at += (size_t)qw_uv_put(p + at, ack);
    return at + (size_t)qw_uv_put(p + at, body_len);
}

/* Bodies are complete: the functions below return 1, or MALFORMED for anything short or left over. */

/* SEND, CALL: uv request | u8 len name | payload */
static inline int qw_request_parse(const uint8_t *p, size_t n, qw_request *out) {
    int used = qw_uv_get(p, n, &out->request);
    if (used <= 0) return QW_MALFORMED;
    size_t at = (size_t)used;
    if (at == n) return QW_MALFORMED;
    size_t len = p[at++];
    if (len - 1 >= n - at) return QW_MALFORMED; /* nameless, too: 0 - 1 is more than any body holds */
    out->name = p + at;
    out->name_len = len;
    out->payload = p + at + len;
    out->payload_len = n - at - len;
    return 1;
}

/* SEND_ACK, RETURN: uv request | uv code | payload */
static inline int qw_reply_parse(const uint8_t *p, size_t n, qw_reply *out) {
    int a = qw_uv_get(p, n, &out->request);
    if (a <= 0) return QW_MALFORMED;
    int b = qw_uv_get(p + a, n - (size_t)a, &out->code);
    if (b <= 0) return QW_MALFORMED;
    out->payload = p + a + b;
    out->payload_len = n - (size_t)(a + b);
    return 1;
}

/* Write what stands before the payload of SEND_ACK, RETURN (room for 20 bytes); return the count. */
static inline size_t qw_reply_header_put(uint8_t *p, uint64_t request, uint64_t code) {
    int used = qw_uv_put(p, request);
    return (size_t)(used + qw_uv_put(p + used, code));
}

/* uv len | bytes; advances *at. 1 or MALFORMED. */
static inline int qw_slice_parse(const uint8_t *p, size_t n, size_t *at, const uint8_t **out, size_t *out_len) {
    uint64_t len;
    int used = qw_uv_get(p + *at, n - *at, &len);
    if (used <= 0) return QW_MALFORMED;
    *at += (size_t)used;
    if (len > n - *at) return QW_MALFORMED;
    *out = p + *at;
    *out_len = (size_t)len;
    *at += (size_t)len;
    return 1;
}

/* AUTH: u8 kind | uv len token | uv len binding | uv len device_id | u8 platform | uv len extras */
static inline int qw_auth_parse(const uint8_t *p, size_t n, qw_auth_body *out) {
    size_t at = 1;
    if (n == 0) return QW_MALFORMED;
    out->kind = p[0];
    if (qw_slice_parse(p, n, &at, &out->token, &out->token_len) < 0) return QW_MALFORMED;
    if (qw_slice_parse(p, n, &at, &out->binding, &out->binding_len) < 0) return QW_MALFORMED;
    if (qw_slice_parse(p, n, &at, &out->device, &out->device_len) < 0) return QW_MALFORMED;
    if (at == n) return QW_MALFORMED;
    out->platform = p[at++];
    if (qw_slice_parse(p, n, &at, &out->extras, &out->extras_len) < 0) return QW_MALFORMED;
    if (at != n) return QW_MALFORMED;
    out->declines = 0;
    if (out->extras_len == 0) return 1;
    if (qw_msgpack_map(out->extras, out->extras_len) < 0) return QW_MALFORMED;
    out->declines = (uint8_t)qw_msgpack_denies(out->extras, out->extras_len, "tickets", 7);
    return 1;
}

/* PING: empty, or u8 state | uv next_interval_s */
static inline int qw_ping_parse(const uint8_t *p, size_t n, qw_ping *out) {
    out->state = 0;
    out->next_interval_s = 0;
    if (n == 0) return 1;
    out->state = p[0];
    int used = qw_uv_get(p + 1, n - 1, &out->next_interval_s);
    return used > 0 && (size_t)used + 1 == n ? 1 : QW_MALFORMED;
}

/* Body of a frame with FLAG_COMPRESSED: uv raw_len | zstd frame. 1, MALFORMED, or TOO_BIG when raw_len is above
 * MAX_RAW_BODY or MAX_RATIO times the compressed size: judged here, before anybody allocates. */
static inline int qw_compressed_parse(const uint8_t *p, size_t n, qw_compressed *out) {
    uint64_t raw;
    int used = qw_uv_get(p, n, &raw);
    if (used <= 0 || (size_t)used == n) return QW_MALFORMED;
    size_t packed = n - (size_t)used;
    if (raw > QW_MAX_RAW_BODY || raw > packed * QW_MAX_RATIO) return QW_TOO_BIG;
    out->raw_len = (size_t)raw;
    out->packed = p + used;
    out->packed_len = packed;
    return 1;
}

#endif
