from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from gateway_core.includes.atomics cimport qw_store64, qw_swap32
from gateway_core.includes.sys cimport qw_clear_fd, qw_map_now, qw_signal_fd, qw_unmap
from gateway_core.leaf.stats cimport N_EVENTS, N_EVENTS_OVER, stat_add

LAYOUT = layout()


cdef int events_init(EventRing* r, uint32_t cells, uint64_t most, Stats* stats) noexcept nogil:
    memset(r, 0, sizeof(EventRing))
    r.stats = stats
    r.most = most
    r.cells = <EventCell*>qw_map_now(cells * sizeof(EventCell))
    r.mask = cells - 1
    return 0 if r.cells != NULL else -1


cdef void events_free(EventRing* r) noexcept nogil:
    cdef EventCell e
    cdef uint32_t i
    if r.cells != NULL:
        while event_pop(r, &e):
            free(e.blob)
    for i in range(r.over_at, r.over_len):
        free(r.over[i].blob)
    free(r.over)
    qw_unmap(r.cells, (r.mask + 1) * sizeof(EventCell))
    memset(r, 0, sizeof(EventRing))


cdef uint64_t _bytes(const EventCell* e) noexcept nogil:
    cdef uint64_t total = 0
    cdef int i
    for i in range(EVENT_STRINGS):
        total += e.size[i]
    return total


cdef bint _put(EventRing* r, const EventCell* e) noexcept nogil:
    cdef uint64_t size = _bytes(e)
    cdef uint64_t held = r.put - qw_load64(&r.taken)
    if r.tail - qw_load64(&r.head) > r.mask or (held and held + size > r.most):
        return False
    r.put += size
    r.cells[r.tail & r.mask] = e[0]
    qw_store64(&r.tail, r.tail + 1)
    return True


cdef int _put_aside(EventRing* r, const EventCell* e) noexcept nogil:
    cdef uint32_t cap
    cdef EventCell* grown
    if r.over_len == r.over_cap:
        cap = r.over_cap * 2 if r.over_cap else 64
        grown = <EventCell*>realloc(r.over, cap * sizeof(EventCell))
        if grown == NULL:
            return -1
        r.over = grown
        r.over_cap = cap
    r.over[r.over_len] = e[0]
    r.over_len += 1
    stat_add(r.stats, N_EVENTS_OVER, 1)
    return 0


cdef int event_push(EventRing* r, int kind, uint64_t conn, uint64_t request, uint32_t code, int a, int b,
                    const void** strings, const uint32_t* sizes, int n) noexcept nogil:
    cdef EventCell e
    cdef size_t total = 0, at = 0
    cdef int i
    memset(&e, 0, sizeof(e))
    for i in range(n):
        e.size[i] = sizes[i]
        total += sizes[i]
    e.blob = <uint8_t*>malloc(total if total else 1)
    if e.blob == NULL:
        return -1
    for i in range(n):
        if sizes[i]:
            memcpy(e.blob + at, strings[i], sizes[i])
        at += sizes[i]
    e.kind = <uint8_t>kind
    e.conn = conn
    e.request = request
    e.code = code
    e.a = <uint8_t>a
    e.b = <uint8_t>b
    stat_add(r.stats, N_EVENTS, 1)
    if r.over_len == 0 and _put(r, &e):
        return 0
    if _put_aside(r, &e) < 0:
        free(e.blob)
        return -1
    return 0


cdef bint events_settle(EventRing* r) noexcept nogil:
    if r.over_len == 0:
        return True
    while r.over_at < r.over_len and _put(r, &r.over[r.over_at]):
        r.over_at += 1
    if r.over_at == r.over_len:
        r.over_at = 0
        r.over_len = 0
        return True
    return False


cdef int event_pop(EventRing* r, EventCell* out) noexcept nogil:
    if qw_load64(&r.tail) == r.head:
        return 0
    out[0] = r.cells[r.head & r.mask]
    qw_store64(&r.taken, r.taken + _bytes(out))
    qw_store64(&r.head, r.head + 1)
    return 1


cdef double events_fill(EventRing* r) noexcept nogil:
    cdef uint64_t head = qw_load64(&r.head), tail = qw_load64(&r.tail)
    cdef uint64_t taken = qw_load64(&r.taken), put = qw_load64(&r.put)
    return max(<double>(tail - min(head, tail)) / <double>(r.mask + 1), <double>(put - min(taken, put)) / <double>r.most)


cdef void bell_ring(EventBell* bell) noexcept nogil:
    if qw_swap32(&bell.rung, 1) == 0:
        qw_signal_fd(bell.fd)


cdef void bell_quiet(EventBell* bell) noexcept nogil:
    qw_clear_fd(bell.fd)
    qw_swap32(&bell.rung, 0)
