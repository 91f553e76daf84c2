"""The MQTT client of the swarm."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy

from benchmarks.loadgen.delivery cimport count_record, deliver, note_begin, note_end, recall
from benchmarks.loadgen.histogram cimport hist_add_ns
from benchmarks.loadgen.sockets cimport client_write
from benchmarks.loadgen.stamp cimport Stamp, stamp_put
from benchmarks.loadgen.types cimport BATCH_SIZE, LIVE, MARK_JOINED, Memo, Swarm
from cmodules cimport layout

LAYOUT = layout()

cdef enum:
    CONNECT = 0x10
    CONNACK = 0x20
    PUBLISH = 0x30
    SUBSCRIBE = 0x82
    SUBACK = 0x90
    PINGREQ = 0xC0
    PINGRESP = 0xD0
    CLIENT_ID_MAX = 32
    TOPIC_MAX = 66          # "r/" and the longest name


cdef void mqtt_open(Swarm* s) noexcept:
    s.wire.greet = greet
    s.wire.feed = feed
    s.wire.join = join
    s.wire.append = append
    s.wire.flush = flush
    s.wire.ping = ping


cdef inline size_t length_put(uint8_t* p, size_t n) noexcept nogil:
    """The remaining length, 7 bits a byte."""
    cdef size_t at = 0
    while n >= 128:
        p[at] = <uint8_t>(n | 128)
        n >>= 7
        at += 1
    p[at] = <uint8_t>n
    return at + 1


cdef int greet(Swarm* s, uint32_t id) noexcept nogil:
    """CONNECT: clean session, keep-alive 0, client id q<global index>."""
    cdef uint8_t p[14 + CLIENT_ID_MAX]
    cdef int n = snprintf(<char*>p + 14, CLIENT_ID_MAX, "q%u", s.first + id)
    p[0] = CONNECT
    p[1] = <uint8_t>(12 + n)
    memcpy(p + 2, b"\x00\x04MQTT\x04\x02\x00\x00\x00", 11)
    p[13] = <uint8_t>n
    return client_write(s, id, p, 14 + <size_t>n)


cdef ptrdiff_t packet(const uint8_t* p, size_t n, size_t* head) noexcept nogil:
    """Size of the packet at p, 0 while it is incomplete, -1 malformed."""
    cdef size_t size = 0, at = 1
    while at < n and at < 5:
        size |= <size_t>(p[at] & 127) << (7 * (at - 1))
        at += 1
        if p[at - 1] < 128:
            head[0] = at
            return <ptrdiff_t>(at + size) if n >= at + size else 0
    return -1 if at == 5 else 0


cdef int take(Swarm* s, uint32_t id, const uint8_t* p, size_t n, size_t head, Memo** memo) noexcept nogil:
    cdef size_t topic
    if (p[0] & 0xF0) == PUBLISH:
        if n < head + 2:
            return -1
        topic = (<size_t>p[head] << 8 | p[head + 1]) + 2
        if head + topic > n:
            return -1
        if deliver(s, id, p + head + topic, n - head - topic, memo[0]):
            return 0
    memo[0] = NULL
    if p[0] == CONNACK and n == 4 and p[3] == 0:
        s.clients[id].state = LIVE
        s.n.handshaken += 1
        s.n.live += 1
        hist_add_ns(&s.login, s.now, s.started[id])
    elif p[0] == SUBACK:
        s.clients[id].marks |= MARK_JOINED
        s.n.joined += 1
    elif p[0] == PINGRESP:
        s.n.pongs += 1
    else:
        s.n.other_frames += 1
    return 0


cdef ptrdiff_t feed(Swarm* s, uint32_t id, uint8_t* p, size_t n) noexcept nogil:
    cdef uint64_t before = s.n.arrived
    cdef Memo* memo
    cdef size_t at = recall(s, id, p, n, NULL), start, head = 0
    cdef ptrdiff_t used
    start = at
    memo = note_begin(s, n - at)
    while at < n:
        used = packet(p + at, n - at, &head)
        if used < 0:
            return -1
        if used == 0:
            break
        if take(s, id, p + at, <size_t>used, head, &memo) != 0:
            return -1
        at += <size_t>used
    note_end(s, memo, p + start, at - start)
    count_record(s, id, before)
    return <ptrdiff_t>at


cdef int join(Swarm* s, uint32_t id, const uint8_t* topic, size_t n) noexcept nogil:
    cdef uint8_t p[7 + TOPIC_MAX]
    if n > TOPIC_MAX:
        return -1
    p[0] = SUBSCRIBE
    p[1] = <uint8_t>(5 + n)
    p[2] = 0
    p[3] = 1
    p[4] = 0
    p[5] = <uint8_t>n
    memcpy(p + 6, topic, n)
    p[6 + n] = 0
    return client_write(s, id, p, 7 + n)


cdef int append(Swarm* s, uint32_t id, const uint8_t* target, size_t n, const Stamp* stamp) noexcept nogil:
    cdef size_t at = s.batch_len
    if at + 16 + n + s.text_size > BATCH_SIZE:
        return -1
    s.batch[at] = PUBLISH
    at += 1 + length_put(s.batch + at + 1, 2 + n + s.text_size)
    s.batch[at] = 0
    s.batch[at + 1] = <uint8_t>n
    memcpy(s.batch + at + 2, target, n)
    at += 2 + n
    stamp_put(s.batch + at, s.text_size, stamp)
    s.batch_len = at + s.text_size
    return 0


cdef int flush(Swarm* s, uint32_t id) noexcept nogil:
    cdef size_t n = s.batch_len
    s.batch_len = 0
    return client_write(s, id, s.batch, n) if n else 0


cdef int ping(Swarm* s, uint32_t id) noexcept nogil:
    s.n.pings += 1
    return client_write(s, id, b"\xc0\x00", 2)
