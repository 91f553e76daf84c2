"""Two small lists: slots that grow as they come, and a bounded queue of ids."""

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    NONE32 = 0xFFFFFFFF  # no slot, no entry

cdef struct Slots:
    uint32_t* at
    uint32_t len
    uint32_t cap

cdef struct IdQueue:  # first in, first out
    uint64_t* at
    uint32_t head
    uint32_t count
    uint32_t cap

cdef int slots_grow(Slots* s) noexcept nogil  # 0, or -1 without memory
cdef void slots_free(Slots* s) noexcept nogil
cdef int ids_init(IdQueue* q, uint32_t cap) noexcept nogil  # 0, or -1 without memory
cdef void ids_free(IdQueue* q) noexcept nogil


cdef inline int slots_push(Slots* s, uint32_t slot) noexcept nogil:
    """0, or -1 without memory."""
    if s.len == s.cap and slots_grow(s) < 0:
        return -1
    s.at[s.len] = slot
    s.len += 1
    return 0


cdef inline void slots_swap_out(Slots* s, uint32_t i) noexcept nogil:
    """Takes the i-th out; the last one takes its place."""
    s.len -= 1
    s.at[i] = s.at[s.len]


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
