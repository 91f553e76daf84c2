"""Two small lists: slots that grow as they come, and a bounded queue of ids. Inline, so this module is only a .pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

cdef enum:
    NONE32 = 0xFFFFFFFF  # no slot, no entry
    SLOTS_START = 256

cdef struct Slots:
    uint32_t* at
    uint32_t len
    uint32_t cap

cdef struct IdQueue:  # first in, first out
    uint64_t* at
    uint32_t head
    uint32_t count
    uint32_t cap


cdef inline int slots_push(Slots* s, uint32_t slot) noexcept nogil:
    """0, or -1 without memory."""
    cdef uint32_t cap
    cdef uint32_t* grown
    if s.len == s.cap:
        cap = s.cap * 2 if s.cap else SLOTS_START
        grown = <uint32_t*>realloc(s.at, cap * sizeof(uint32_t))
        if grown == NULL:
            return -1
        s.at = grown
        s.cap = cap
    s.at[s.len] = slot
    s.len += 1
    return 0


cdef inline void slots_swap_out(Slots* s, uint32_t i) noexcept nogil:
    """Takes the i-th out; the last one takes its place."""
    s.len -= 1
    s.at[i] = s.at[s.len]


cdef inline void slots_free(Slots* s) noexcept nogil:
    free(s.at)
    s.at = NULL
    s.len = s.cap = 0


cdef inline int ids_init(IdQueue* q, uint32_t cap) noexcept nogil:
    """0, or -1 without memory."""
    q.head = q.count = 0
    q.cap = cap
    q.at = <uint64_t*>calloc(cap, sizeof(uint64_t))
    return 0 if q.at != NULL else -1


cdef inline void ids_free(IdQueue* q) noexcept nogil:
    free(q.at)
    q.at = NULL


cdef inline bint ids_push(IdQueue* q, uint64_t id) noexcept nogil:
    """0 when full."""
    if q.count == q.cap:
        return False
    q.at[(q.head + q.count) % q.cap] = id
    q.count += 1
    return True


cdef inline uint64_t ids_pop(IdQueue* q) noexcept nogil:
    """The oldest; the queue is not empty."""
    cdef uint64_t id = q.at[q.head]
    q.head = (q.head + 1) % q.cap
    q.count -= 1
    return id
