"""The NATS client of the swarm. A PING after CONNECT and after SUB turns silence into an answer."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcmp, memcpy

from benchmarks.loadgen.delivery cimport count_record, deliver, note_begin, note_end, recall
from benchmarks.loadgen.histogram cimport hist_add_ns
from benchmarks.loadgen.sockets cimport client_write
from benchmarks.loadgen.stamp cimport Stamp, stamp_put
from benchmarks.loadgen.types cimport BATCH_SIZE, GREETING, LIVE, MARK_JOINED, Memo, Swarm
from cmodules cimport layout

LAYOUT = layout()

cdef enum:
    LINE_MAX = 65536        # INFO is some KB
    JOIN_MAX = 160          # SUB of the longest topic, and a PING


cdef void nats_open(Swarm* s) noexcept:
    s.wire.greet = greet
    s.wire.feed = feed
    s.wire.join = join
    s.wire.append = append
    s.wire.flush = flush
    s.wire.ping = ping


cdef int greet(Swarm* s, uint32_t id) noexcept nogil:
    """The server speaks first; what is written now is read after its INFO."""
    cdef const char* words = b'CONNECT {"verbose":false,"pedantic":false,"lang":"c","version":"1"}\r\nPING\r\n'
    return client_write(s, id, <const uint8_t*>words, 75)


cdef ptrdiff_t message(Swarm* s, uint32_t id, const uint8_t* p, size_t n, size_t line, Memo* memo) noexcept nogil:
    """MSG subject sid [reply] size, CR LF, payload, CR LF. Its size, 0 while incomplete, -1 malformed."""
    cdef size_t i = line - 1
    cdef size_t size = 0, scale = 1
    while i > 3 and c"0" <= p[i] <= c"9" and scale < 10000000:
        size += (p[i] - c"0") * scale
        scale *= 10
        i -= 1
    if p[i] != c" ":
        return -1
    if n < line + 2 + size + 2:
        return 0
    if not deliver(s, id, p + line + 2, size, memo):
        return -1
    return <ptrdiff_t>(line + 2 + size + 2)


cdef int control(Swarm* s, uint32_t id, const uint8_t* p, size_t line) noexcept nogil:
    cdef uint8_t state = s.clients[id].state
    if line == 4 and memcmp(p, b"PING", 4) == 0:
        return client_write(s, id, b"PONG\r\n", 6)
    if line == 4 and memcmp(p, b"PONG", 4) == 0:
        if state == GREETING:
            s.clients[id].state = LIVE
            s.n.handshaken += 1
            s.n.live += 1
            hist_add_ns(&s.login, s.now, s.started[id])
        elif not s.clients[id].marks & MARK_JOINED:
            s.clients[id].marks |= MARK_JOINED
            s.n.joined += 1
        else:
            s.n.pongs += 1
        return 0
    if line > 4 and memcmp(p, b"-ERR", 4) == 0:
        return -1
    s.n.other_frames += 1
    return 0


cdef ptrdiff_t feed(Swarm* s, uint32_t id, uint8_t* p, size_t n) noexcept nogil:
    cdef uint64_t before = s.n.arrived
    cdef Memo* memo
    cdef size_t at = recall(s, id, p, n, NULL), start, line
    cdef ptrdiff_t used
    cdef uint8_t* end
    start = at
    memo = note_begin(s, n - at)
    while at < n:
        end = <uint8_t*>memchr(p + at, c"\n", n - at)
        if end == NULL:
            if n - at > LINE_MAX:
                return -1
            break
        line = <size_t>(end - (p + at))
        if line < 1 or end[-1] != c"\r":
            return -1
        line -= 1
        if line > 8 and memcmp(p + at, b"MSG ", 4) == 0:
            used = message(s, id, p + at, n - at, line, memo)
            if used < 0:
                return -1
            if used == 0:
                break
            at += <size_t>used
            continue
        memo = NULL
        if control(s, id, p + at, line) != 0:
            return -1
        at += line + 2
    note_end(s, memo, p + start, at - start)
    count_record(s, id, before)
    return <ptrdiff_t>at


cdef int join(Swarm* s, uint32_t id, const uint8_t* topic, size_t n) noexcept nogil:
    cdef char p[JOIN_MAX]
    cdef int size = snprintf(p, JOIN_MAX, "SUB %.*s 1\r\nPING\r\n", <int>n, <const char*>topic)
    return client_write(s, id, <uint8_t*>p, <size_t>size)


cdef int append(Swarm* s, uint32_t id, const uint8_t* target, size_t n, const Stamp* stamp) noexcept nogil:
    cdef size_t at = s.batch_len
    if at + 32 + n + s.text_size > BATCH_SIZE:
        return -1
    at += <size_t>snprintf(<char*>s.batch + at, 32 + n, "PUB %.*s %zu\r\n", <int>n, <const char*>target, s.text_size)
    stamp_put(s.batch + at, s.text_size, stamp)
    at += s.text_size
    memcpy(s.batch + at, b"\r\n", 2)
    s.batch_len = at + 2
    return 0


cdef int flush(Swarm* s, uint32_t id) noexcept nogil:
    cdef size_t n = s.batch_len
    s.batch_len = 0
    return client_write(s, id, s.batch, n) if n else 0


cdef int ping(Swarm* s, uint32_t id) noexcept nogil:
    s.n.pings += 1
    return client_write(s, id, b"PING\r\n", 6)
