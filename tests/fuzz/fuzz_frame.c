/* The plaintext of a record: frames one after another, each body read as its type says. */
#include "frame/includes/frames.h"
#include "frame/includes/room_messages.h"
#include "tests/fuzz/promise.h"

static ptrdiff_t parse(const uint8_t *p, size_t n) {
    qw_frame out;
    return qw_frame_parse(p, n, QW_MAX_BODY, &out);
}

static void requests(const uint8_t *p, size_t n) {
    qw_request out;
    if (qw_request_parse(p, n, &out) != 1) return;
    promise_inside(out.name, out.name_len, p, n);
    PROMISE(out.payload == out.name + out.name_len && out.payload + out.payload_len == p + n);
    uint8_t head[QW_UV_MAX];
    PROMISE(out.name - 1 - p == qw_uv_put(head, out.request) && memcmp(head, p, (size_t)(out.name - 1 - p)) == 0);
}

static void replies(const uint8_t *p, size_t n) {
    qw_reply out;
    if (qw_reply_parse(p, n, &out) != 1) return;
    PROMISE(out.payload + out.payload_len == p + n);
    uint8_t head[2 * QW_UV_MAX];
    size_t size = qw_reply_header_put(head, out.request, out.code);
    PROMISE(out.payload == p + size && memcmp(head, p, size) == 0);
}

static void auths(const uint8_t *p, size_t n) {
    qw_auth_body out;
    if (qw_auth_parse(p, n, &out) != 1) return;
    promise_inside(out.token, out.token_len, p, n);
    promise_inside(out.binding, out.binding_len, p, n);
    promise_inside(out.device, out.device_len, p, n);
    PROMISE(out.extras + out.extras_len == p + n);
    PROMISE(out.kind == p[0] && out.platform == out.device[out.device_len]);
}

static void rooms(const uint8_t *p, size_t n) {
    const uint8_t *room;
    size_t room_len;
    int head = qw_room_head_parse(p, n, &room, &room_len);
    if (head < 0) return;
    promise_inside(room, room_len, p, n);
    qw_room_message m = {0};
    ptrdiff_t used;
    for (size_t at = (size_t)head; at < n; at += (size_t)used) {
        uint64_t id = m.server_id, time = m.time_ms;
        used = qw_room_message_parse(p + at, n - at, &m);
        if (used < 0) return;
        promise_inside(m.rest, m.rest_len, p + at, n - at);
        PROMISE(m.content + m.content_len == p + at + used && m.rest + m.rest_len == p + at + used);
        if (m.sender) PROMISE(m.sender + m.sender_len == m.rest);
        uint8_t again[QW_ROOM_MESSAGE_HEAD_MAX];
        uint64_t who = m.sender ? 2 * m.sender_len : 2 * m.sender_at + 1;
        size_t size = qw_room_message_head_put(again, m.shape, qw_zigzag(id, m.server_id), qw_zigzag(time, m.time_ms), who);
        PROMISE(m.rest - m.sender_len - size == p + at && memcmp(again, p + at, size) == 0); /* one encoding only */
    }
}

static void bodies(const uint8_t *p, size_t n) {
    requests(p, n);
    replies(p, n);
    auths(p, n);
    rooms(p, n);
    qw_ping ping;
    if (qw_ping_parse(p, n, &ping) == 1 && n) PROMISE(1 + (size_t)qw_uv_size(ping.next_interval_s) == n);
    qw_compressed packed;
    if (qw_compressed_parse(p, n, &packed) == 1) {
        PROMISE(packed.packed_len > 0 && packed.packed + packed.packed_len == p + n);
        PROMISE(packed.raw_len <= QW_MAX_RAW_BODY && packed.raw_len / QW_MAX_RATIO <= packed.packed_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    promise_prefixes(parse, p, n);
    bodies(p, n);
    qw_frame frame;
    for (ptrdiff_t used; (used = qw_frame_parse(p, n, QW_MAX_BODY, &frame)) > 0; p += used, n -= (size_t)used) {
        promise_inside(frame.body, frame.body_len, p, n);
        PROMISE(frame.body + frame.body_len == p + used);
        uint8_t head[QW_FRAME_HEADER_MAX];
        size_t size = qw_frame_header_put(head, frame.type, frame.flags, frame.ack, frame.body_len);
        PROMISE(size + frame.body_len == (size_t)used && memcmp(head, p, size) == 0); /* one encoding only */
        bodies(frame.body, frame.body_len);
    }
    return 0;
}
