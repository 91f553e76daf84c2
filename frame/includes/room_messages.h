/* EVENT ROOM_MESSAGES: what was said in one room, one message or many.
 *
 *    u8 1 | u8 len room | messages
 *    message: u8 shape | uv id | uv time | uv who | [name] | [uv seq] | uv len | content
 *
 * id and time are zigzag differences to the message before in the frame, the first to 0. who: 2 x length of a name that
 * follows, or 2 x i + 1 for the i-th name of the frame.
 */
#ifndef QW_ROOM_MESSAGES_H
#define QW_ROOM_MESSAGES_H

#include "frame/includes/constants.h"
#include "frame/includes/varint.h"

enum {
    QW_ROOM_MESSAGE_HEAD_MAX = 1 + 3 * QW_UV_MAX, /* shape, id, time, who */
    QW_ROOM_HEAD_MAX = 2 + QW_NAME_MAX            /* kind and room */
};

typedef struct {
    uint64_t server_id; /* below 2^63 */
    uint64_t time_ms;
    const uint8_t *sender; /* NULL: the name number sender_at of the frame, if there are so many */
    size_t sender_len;     /* 0..NAME_MAX */
    uint64_t sender_at;
    uint64_t seq;        /* 0 unless the shape has ROOM_SEQ */
    const uint8_t *rest; /* seq and content as they stand, to the end of the message */
    size_t rest_len;
    const uint8_t *content; /* ROOM_TEXT: the text; else a msgpack array, which is not judged */
    size_t content_len;
    uint8_t shape;
} qw_room_message;

static inline uint64_t qw_zigzag(uint64_t from, uint64_t to) {
    uint64_t d = to - from;
    return (d << 1) ^ (0 - (d >> 63));
}

/* Add the zigzag difference at p to *value, which stays below 2^63. Bytes used, or MALFORMED. */
static inline int qw_difference_get(const uint8_t *p, size_t n, uint64_t *value) {
    uint64_t z;
    int used = qw_uv_get(p, n, &z);
    if (QW_UNLIKELY(used <= 0)) return QW_MALFORMED;
    *value += (z >> 1) ^ (0 - (z & 1));
    return *value >> 63 ? QW_MALFORMED : used;
}

/* What stands before the messages. Bytes used, or MALFORMED (another kind, too). */
static inline int qw_room_head_parse(const uint8_t *p, size_t n, const uint8_t **room, size_t *room_len) {
    if (n < 2 || p[0] != QW_EVENT_ROOM_MESSAGES) return QW_MALFORMED;
    size_t len = p[1];
    if (len == 0 || len > QW_NAME_MAX || len > n - 2) return QW_MALFORMED;
    *room = p + 2;
    *room_len = len;
    return (int)(2 + len);
}

/* One message at p. `m` holds the id and the time of the message before it, 0 for the first. Bytes used, or MALFORMED. */
static inline ptrdiff_t qw_room_message_parse(const uint8_t *p, size_t n, qw_room_message *m) {
    uint64_t who, len;
    size_t at = 1;
    int used;
    if (n == 0 || p[0] & ~(QW_ROOM_TEXT | QW_ROOM_SEQ)) return QW_MALFORMED;
    m->shape = p[0];
    if ((used = qw_difference_get(p + at, n - at, &m->server_id)) <= 0) return QW_MALFORMED;
    at += (size_t)used;
    if ((used = qw_difference_get(p + at, n - at, &m->time_ms)) <= 0) return QW_MALFORMED;
    at += (size_t)used;
    if ((used = qw_uv_get(p + at, n - at, &who)) <= 0) return QW_MALFORMED;
    at += (size_t)used;
    m->sender = NULL;
    m->sender_len = 0;
    m->sender_at = who >> 1;
    if ((who & 1) == 0) {
        if (who >> 1 > QW_NAME_MAX || who >> 1 > n - at) return QW_MALFORMED;
        m->sender = p + at;
        m->sender_len = (size_t)(who >> 1);
        at += m->sender_len;
    }
    m->rest = p + at;
    m->seq = 0;
    if (m->shape & QW_ROOM_SEQ) {
        if ((used = qw_uv_get(p + at, n - at, &m->seq)) <= 0) return QW_MALFORMED;
        at += (size_t)used;
    }
    if ((used = qw_uv_get(p + at, n - at, &len)) <= 0) return QW_MALFORMED;
    at += (size_t)used;
    if (len > n - at) return QW_MALFORMED;
    m->content = p + at;
    m->content_len = (size_t)len;
    at += (size_t)len;
    m->rest_len = (size_t)(p + at - m->rest);
    return (ptrdiff_t)at;
}

/* Write what stands before the name (room for ROOM_MESSAGE_HEAD_MAX bytes); return the count. */
static inline size_t qw_room_message_head_put(uint8_t *p, uint8_t shape, uint64_t id, uint64_t time, uint64_t who) {
    size_t at = 1;
    p[0] = shape;
    at += (size_t)qw_uv_put(p + at, id);
    at += (size_t)qw_uv_put(p + at, time);
    return at + (size_t)qw_uv_put(p + at, who);
}

#endif
