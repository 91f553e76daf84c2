from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from cmodules cimport layout

LAYOUT = layout()

cdef enum:
    SLOTS_START = 256


cdef int slots_grow(Slots* s) noexcept nogil:
    cdef uint32_t cap = s.cap * 2 if s.cap else SLOTS_START
    cdef uint32_t* grown = <uint32_t*>realloc(s.at, cap * sizeof(uint32_t))
    if grown == NULL:
        return -1
    s.at = grown
    s.cap = cap
    return 0


cdef void slots_free(Slots* s) noexcept nogil:
    free(s.at)
    s.at = NULL
    s.len = s.cap = 0


cdef int ids_init(IdQueue* q, uint32_t cap) noexcept nogil:
    q.head = q.count = 0
    q.cap = cap
    q.at = <uint64_t*>calloc(cap, sizeof(uint64_t))
    return 0 if q.at != NULL else -1


cdef void ids_free(IdQueue* q) noexcept nogil:
    free(q.at)
    q.at = NULL
