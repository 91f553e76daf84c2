/* One number over the sizes and offsets of every struct that crosses a module boundary by value, and over the constants.
 * A module built before a change carries another number; packages compare at import instead of reading garbage. */
#ifndef QW_FRAME_LAYOUT_H
#define QW_FRAME_LAYOUT_H

#include "frame/includes/constants.h"
#include "frame/includes/frames.h"
#include "frame/includes/http_upgrade.h"
#include "frame/includes/preamble.h"
#include "frame/includes/proxy.h"
#include "frame/includes/record.h"
#include "frame/includes/websocket.h"

static inline uint64_t qw_frame_layout(void) {
    const size_t parts[] = {
        QW_CONSTANTS_MARK,
        sizeof(qw_frame), offsetof(qw_frame, ack), offsetof(qw_frame, body), offsetof(qw_frame, body_len),
        sizeof(qw_request), offsetof(qw_request, name), offsetof(qw_request, payload),
        sizeof(qw_reply), offsetof(qw_reply, code), offsetof(qw_reply, payload),
        sizeof(qw_auth_body), offsetof(qw_auth_body, platform), offsetof(qw_auth_body, token),
        offsetof(qw_auth_body, binding), offsetof(qw_auth_body, device), offsetof(qw_auth_body, extras),
        sizeof(qw_ping), offsetof(qw_ping, next_interval_s),
        sizeof(qw_compressed), offsetof(qw_compressed, packed),
        sizeof(qw_preamble), offsetof(qw_preamble, key_id), sizeof(qw_tlv), offsetof(qw_tlv, value),
        sizeof(qw_ws_header), offsetof(qw_ws_header, mask), offsetof(qw_ws_header, payload_len),
        sizeof(qw_upgrade), offsetof(qw_upgrade, key), offsetof(qw_upgrade, path), offsetof(qw_upgrade, query),
        offsetof(qw_upgrade, origin), offsetof(qw_upgrade, host),
        sizeof(qw_proxy_header), offsetof(qw_proxy_header, source), offsetof(qw_proxy_header, target),
        offsetof(qw_proxy_header, source_port),
    };
    uint64_t mark = 0xcbf29ce484222325u; /* FNV-1a, a word at a time */
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) mark = (mark ^ parts[i]) * 0x100000001b3u;
    return mark;
}

#endif
