"""The WebSocket client of the swarm. Its masking key is zero, so masking costs neither side more than it must."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from benchmarks.loadgen.delivery cimport count_record, deliver, note_begin, note_end, recall
from benchmarks.loadgen.histogram cimport hist_add_ns
from benchmarks.loadgen.sockets cimport client_write
from benchmarks.loadgen.stamp cimport Stamp, stamp_put
from benchmarks.loadgen.types cimport BATCH_SIZE, GREETING, LIVE, MARK_JOINED, Memo, Swarm
from cmodules cimport layout
from frame.websocket cimport (
    WS_BINARY,
    WS_CLOSE,
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
    PAYLOAD_MAX = 65536
    TOPIC_MAX = 66          # "r/" and the longest name

cdef const char* UPGRADE = (
    b"GET /bench HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
cdef size_t UPGRADE_SIZE = len(<bytes>UPGRADE)
cdef uint8_t NO_MASK[WS_MASK_BYTES]
memset(NO_MASK, 0, sizeof(NO_MASK))


cdef void websocket_open(Swarm* s) noexcept:
    s.wire.greet = greet
    s.wire.feed = feed
    s.wire.join = join
    s.wire.append = append
    s.wire.flush = flush
    s.wire.ping = ping


cdef int greet(Swarm* s, uint32_t id) noexcept nogil:
    return client_write(s, id, <const uint8_t*>UPGRADE, UPGRADE_SIZE)


cdef ptrdiff_t feed_upgrade(Swarm* s, uint32_t id, const uint8_t* p, size_t n) noexcept nogil:
    cdef size_t i
    if n >= 12 and memcmp(p + 9, b"101", 3) != 0:
        return -1
    for i in range(3, n):
        if memcmp(p + i - 3, b"\r\n\r\n", 4) == 0:
            s.clients[id].state = LIVE
            s.n.handshaken += 1
            s.n.live += 1
            hist_add_ns(&s.login, s.now, s.started[id])
            return <ptrdiff_t>i + 1
    return -1 if n > 4096 else 0


cdef int take(Swarm* s, uint32_t id, const WsHeader* h, const uint8_t* p, Memo** memo) noexcept nogil:
    if h.opcode == WS_BINARY and deliver(s, id, p, h.payload_len, memo[0]):
        return 0
    memo[0] = NULL
    if h.opcode == WS_CLOSE:
        return -1
    if h.opcode == WS_PONG:
        s.n.pongs += 1
    elif h.opcode == WS_BINARY and h.payload_len and p[0] == c"J":
        s.clients[id].marks |= MARK_JOINED
        s.n.joined += 1
    else:
        s.n.other_frames += 1
    return 0


cdef ptrdiff_t feed(Swarm* s, uint32_t id, uint8_t* p, size_t n) noexcept nogil:
    cdef Memo* memo
    cdef WsHeader h
    cdef size_t at = 0, start
    cdef ptrdiff_t used
    cdef uint64_t before = s.n.arrived
    if s.clients[id].state == GREETING:
        used = feed_upgrade(s, id, p, n)
        if used <= 0:
            return used
        at = <size_t>used
    at += recall(s, id, p + at, n - at, NULL)
    start = at
    memo = note_begin(s, n - at)
    while at < n:
        used = ws_header_parse(p + at, n - at, PAYLOAD_MAX, &h)
        if used < 0:
            return -1
        if used == 0 or n - at - <size_t>used < h.payload_len:
            break
        if take(s, id, &h, p + at + used, &memo) != 0:
            return -1
        at += <size_t>used + h.payload_len
    note_end(s, memo, p + start, at - start)
    count_record(s, id, before)
    return <ptrdiff_t>at


cdef int join(Swarm* s, uint32_t id, const uint8_t* topic, size_t n) noexcept nogil:
    cdef uint8_t p[WS_HEADER_BYTES + 1 + TOPIC_MAX]
    cdef size_t head
    if n > TOPIC_MAX:
        return -1
    head = ws_header_put_masked(p, WS_BINARY, n + 1, NO_MASK)
    p[head] = c"J"
    memcpy(p + head + 1, topic, n)
    return client_write(s, id, p, head + 1 + n)


cdef int append(Swarm* s, uint32_t id, const uint8_t* target, size_t n, const Stamp* stamp) noexcept nogil:
    cdef size_t at = s.batch_len
    if at + 16 + s.text_size > BATCH_SIZE:
        return -1
    at += ws_header_put_masked(s.batch + at, WS_BINARY, s.text_size, NO_MASK)
    stamp_put(s.batch + at, s.text_size, stamp)
    s.batch_len = at + s.text_size
    return 0


cdef int flush(Swarm* s, uint32_t id) noexcept nogil:
    cdef size_t n = s.batch_len
    s.batch_len = 0
    return client_write(s, id, s.batch, n) if n else 0


cdef int ping(Swarm* s, uint32_t id) noexcept nogil:
    cdef uint8_t p[WS_HEADER_BYTES]
    s.n.pings += 1
    return client_write(s, id, p, ws_header_put_masked(p, WS_PING, 0, NO_MASK))
