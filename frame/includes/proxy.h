/* PROXY protocol version 2 (haproxy, doc/proxy-protocol.txt section 2.2), for connections from listed balancers.
 *
 *    12 bytes signature | u8 version 2, command | u8 family, transport | u16 length | addresses, TLVs
 *
 * TLVs are skipped. Datagram transports make no sense on a stream listener and are refused. */
#ifndef QW_PROXY_H
#define QW_PROXY_H

#include "frame/includes/bytes.h"
#include "frame/includes/codes.h"

enum { QW_PROXY_HEADER = 16, QW_PROXY_ADDRESS = 16, QW_PROXY_MAX_LENGTH = 512 };

typedef struct {
    uint8_t family; /* 0: no address given (LOCAL, UNSPEC, UNIX), 4 or 6 */
    uint8_t local;  /* 1: the balancer's own connection (health check) */
    uint8_t source[QW_PROXY_ADDRESS]; /* network order, an IPv4 address in the first 4 bytes; zeros beyond */
    uint8_t target[QW_PROXY_ADDRESS];
    uint16_t source_port;
    uint16_t target_port;
} qw_proxy_header;

static const uint8_t qw_proxy_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static inline ptrdiff_t qw_proxy_v2_parse(const uint8_t *p, size_t n, qw_proxy_header *out) {
    if (n == 0) return QW_NEED_MORE;
    if (memcmp(p, qw_proxy_signature, n < 12 ? n : 12) != 0) return QW_MALFORMED;
    if (n < 13) return QW_NEED_MORE;
    if (p[12] != 0x20 && p[12] != 0x21) return QW_MALFORMED;
    if (n < QW_PROXY_HEADER) return QW_NEED_MORE;
    size_t need, len = qw_get_u16(p + 14);
    int local = p[12] == 0x20, family = 0;
    switch (p[13]) {
    case 0x00: need = 0; break;
    case 0x11: need = 12; family = 4; break;
    case 0x21: need = 36; family = 6; break;
    case 0x31: need = 216; break;
    default:
        if (!local) return QW_MALFORMED;
        need = 0;
    }
    if (local) need = 0, family = 0;
    if (len < need) return QW_MALFORMED;
    if (len > QW_PROXY_MAX_LENGTH) return QW_TOO_BIG;
    if (n - QW_PROXY_HEADER < len) return QW_NEED_MORE;
    memset(out, 0, sizeof *out);
    out->family = (uint8_t)family;
    out->local = (uint8_t)local;
    size_t width = family == 4 ? 4 : 16;
    if (family) {
        memcpy(out->source, p + 16, width);
        memcpy(out->target, p + 16 + width, width);
        out->source_port = qw_get_u16(p + 16 + 2 * width);
        out->target_port = qw_get_u16(p + 18 + 2 * width);
    }
    return (ptrdiff_t)(QW_PROXY_HEADER + len);
}

#endif
