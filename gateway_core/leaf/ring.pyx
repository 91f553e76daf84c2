from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from cmodules cimport layout
from gateway_core.leaf.shared_buf cimport buf_data, buf_ref, buf_unref
from gateway_core.leaf.stats cimport L_UNACKED, N_UNACKED_DROPPED, stat_add

LAYOUT = layout()

cdef enum:
    START = 4


cdef inline SharedBuf** _cells(Unacked* u) noexcept nogil:
    return <SharedBuf**>(<char*>u + sizeof(Unacked))


cdef void _drop_oldest(Unacked* u, Stats* stats) noexcept nogil:
    cdef SharedBuf* b = _cells(u)[u.head]
    u.head = (u.head + 1) & (u.cap - 1)
    u.count -= 1
    u.first += 1
    u.bytes -= b.size
    buf_unref(b)
    stat_add(stats, L_UNACKED, -1)


cdef void unacked_clear(Unacked** own, Stats* stats) noexcept nogil:
    cdef Unacked* u = own[0]
    if u == NULL:
        return
    while u.count:
        _drop_oldest(u, stats)
    free(u)
    own[0] = NULL


cdef size_t _talk(SharedBuf* b, const uint8_t** at) noexcept nogil:
    """Length and place of the name of a MSG's conversation, the first of a msgpack array; 0: it has none."""
    cdef const uint8_t* p = buf_data(b) + b.body_at
    cdef size_t n = b.size - b.body_at, head = 2, length = 0
    if not b.msgs or n < 3 or p[0] & 0xF0 != 0x90:
        return 0
    if p[1] & 0xE0 == 0xA0:
        length = p[1] & 0x1F
    elif p[1] == 0xD9:
        head = 3
        length = p[2]
    at[0] = p + head
    return length if head + length <= n else 0


cdef bint _of_talk(SharedBuf* b, const void* talk, size_t n) noexcept nogil:
    """Also where either has no name."""
    cdef const uint8_t* at = NULL
    cdef size_t m = _talk(b, &at)
    return n == 0 or m == 0 or (n == m and memcmp(at, talk, n) == 0)


cdef void _erase(Unacked** own, Stats* stats, const void* talk, size_t length) noexcept nogil:
    cdef Unacked* u = own[0]
    cdef uint32_t n
    if u == NULL:
        return
    n = u.count
    while n and not _of_talk(_cells(u)[(u.head + n - 1) & (u.cap - 1)], talk, length):
        n -= 1
    stat_add(stats, N_UNACKED_DROPPED, n)
    while n:
        _drop_oldest(u, stats)
        n -= 1
    if u.count == 0:
        free(u)
        own[0] = NULL


cdef void unacked_erase(Unacked** own, Stats* stats, SharedBuf* by) noexcept nogil:
    cdef const uint8_t* talk = NULL
    cdef size_t n = _talk(by, &talk)
    _erase(own, stats, talk, n)


cdef void unacked_forget(Unacked** own, Stats* stats, const char* talk, size_t n) noexcept nogil:
    _erase(own, stats, talk, n)


cdef Unacked* _sized(Unacked* u, uint32_t cap) noexcept nogil:
    """With room for `cap`; what `u` holds (NULL: nothing) passes over. NULL: no memory, `u` is as it was."""
    cdef Unacked* grown = <Unacked*>malloc(sizeof(Unacked) + cap * sizeof(SharedBuf*))
    cdef uint32_t i
    if grown == NULL:
        return NULL
    grown.first = grown.count = grown.bytes = grown.head = grown.pad = 0
    if u != NULL:
        grown[0] = u[0]
        for i in range(u.count):
            _cells(grown)[i] = _cells(u)[(u.head + i) & (u.cap - 1)]
        grown.head = 0
        free(u)
    grown.cap = cap
    return grown


cdef void unacked_push(Unacked** own, const UnackedLimits* limits, Stats* stats, SharedBuf* b, uint32_t number) noexcept nogil:
    cdef Unacked* u = own[0]
    while u != NULL and u.count and (u.count >= limits.messages or u.bytes + b.size > limits.bytes):
        _drop_oldest(u, stats)
        stat_add(stats, N_UNACKED_DROPPED, 1)
    if b.size > limits.bytes:
        stat_add(stats, N_UNACKED_DROPPED, 1)
        unacked_clear(own, stats)
        return
    if u == NULL or u.count == u.cap:
        u = _sized(u, u.cap * 2 if u != NULL else <uint32_t>START)
        if u == NULL:
            unacked_clear(own, stats)
            return
        own[0] = u
    if u.count == 0:
        u.first = number
    _cells(u)[(u.head + u.count) & (u.cap - 1)] = buf_ref(b)
    u.count += 1
    u.bytes += b.size
    stat_add(stats, L_UNACKED, 1)


cdef void unacked_ack(Unacked** own, Stats* stats, uint64_t number) noexcept nogil:
    cdef Unacked* u = own[0]
    if u == NULL:
        return
    while u.count and u.first <= number:
        _drop_oldest(u, stats)
    if u.count == 0:
        free(u)
        own[0] = NULL
