from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from cmodules cimport layout

LAYOUT = layout()

cdef enum:
    START = 64


cdef int leavers_add(Leavers* l, uint64_t conn, uint32_t due_s, int code) noexcept nogil:
    cdef uint32_t cap
    cdef Leaver* grown
    if l.n == l.cap:
        cap = l.cap * 2 if l.cap else START
        grown = <Leaver*>realloc(l.of, cap * sizeof(Leaver))
        if grown == NULL:
            return -1
        l.of = grown
        l.cap = cap
    l.of[l.n].conn = conn
    l.of[l.n].due_s = due_s
    l.of[l.n].code = <uint16_t>code
    l.n += 1
    return 0


cdef void leavers_free(Leavers* l) noexcept nogil:
    free(l.of)
    l.of = NULL
    l.n = l.cap = l.at = 0
