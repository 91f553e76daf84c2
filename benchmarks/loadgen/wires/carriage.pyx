"""The WebSocket carriage of QW1: see carriage.pxd."""

from libc.string cimport memcmp, memcpy, memmove, memset

from benchmarks.loadgen.sockets cimport client_write
from benchmarks.loadgen.types cimport HEAD_MAX, MARK_OPENED, Client, Framing
from cmodules cimport layout
from frame.websocket cimport (
    WS_BINARY,
    WS_CLOSE,
    WS_CONTINUATION,
    WS_HEADER_BYTES,
    WS_MASK_BYTES,
    WS_PING,
    WS_PONG,
    WsHeader,
    ws_header_parse,
    ws_header_put_masked,
)

LAYOUT = layout()

cdef enum:
    PAYLOAD_MAX = 1 << 20
    ANSWER_MAX = 4096

cdef const char* UPGRADE = (
    b"GET /qw1 HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: qw1\r\n\r\n"
)
cdef size_t UPGRADE_SIZE = len(<bytes>UPGRADE)
cdef uint8_t NO_MASK[WS_MASK_BYTES]
memset(NO_MASK, 0, sizeof(NO_MASK))


cdef int carriage_greet(Swarm* s, uint32_t id) noexcept nogil:
    return client_write(s, id, <const uint8_t*>UPGRADE, UPGRADE_SIZE)


cdef size_t carriage_head(uint8_t* p, size_t n) noexcept nogil:
    cdef uint8_t head[WS_HEADER_BYTES]
    cdef size_t size = ws_header_put_masked(head, WS_BINARY, n, NO_MASK)
    memcpy(p - size, head, size)
    return size


cdef ptrdiff_t upgraded(uint8_t* p, size_t n) noexcept nogil:
    """Size of the 101 answer, 0 while incomplete, -1 refused."""
    cdef size_t i
    if n >= 12 and memcmp(p + 9, b"101", 3) != 0:
        return -1
    for i in range(3, n):
        if memcmp(p + i - 3, b"\r\n\r\n", 4) == 0:
            return <ptrdiff_t>i + 1
    return -1 if n > ANSWER_MAX else 0


cdef int control(Swarm* s, uint32_t id, const WsHeader* h, const uint8_t* payload) noexcept nogil:
    """A whole control frame. 0, or -1: the server closes."""
    cdef uint8_t out[HEAD_MAX]
    cdef size_t head
    if h.opcode == WS_PING:
        head = ws_header_put_masked(out, WS_PONG, h.payload_len, NO_MASK)
        memcpy(out + head, payload, h.payload_len)
        return client_write(s, id, out, head + h.payload_len)
    return -1 if h.opcode == WS_CLOSE else 0


cdef ptrdiff_t carriage_unwrap(Swarm* s, uint32_t id, uint8_t* p, size_t tail, size_t n) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef Framing* f = &s.framing[id]
    cdef WsHeader h
    cdef ptrdiff_t used
    cdef size_t at = tail, out = tail, take
    if not c.marks & MARK_OPENED:
        used = upgraded(p, n)
        if used <= 0:
            return <ptrdiff_t>n if used == 0 else -1
        c.marks |= MARK_OPENED
        out = 0
        at = <size_t>used
    if f.head_len:                              # part of a header, from the read before
        memmove(p + at + f.head_len, p + at, n - at)
        memcpy(p + at, f.head, f.head_len)
        n += f.head_len
        f.head_len = 0
    while at < n:
        if f.left:
            take = min(f.left, n - at)
            memmove(p + out, p + at, take)
            out += take
            at += take
            f.left -= take
            continue
        used = ws_header_parse(p + at, n - at, PAYLOAD_MAX, &h)
        if used < 0 or (used > 0 and h.masked):
            return -1
        if used > 0 and (h.opcode == WS_BINARY or h.opcode == WS_CONTINUATION):
            f.left = h.payload_len
            at += <size_t>used
            continue
        if used == 0 or n - at < <size_t>used + h.payload_len:
            if n - at > sizeof(f.head):
                return -1
            f.head_len = <uint8_t>(n - at)
            memcpy(f.head, p + at, n - at)
            break
        if control(s, id, &h, p + at + used) != 0:
            return -1
        at += <size_t>used + h.payload_len
    return <ptrdiff_t>out
