"""Connections that were told to leave, and when each of them is closed if it stays."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef struct Leaver:
    uint64_t conn  # its id: who is gone already is found by nobody
    uint32_t due_s
    uint16_t code  # of its CLOSE

cdef struct Leavers:
    Leaver* of
    uint32_t n
    uint32_t cap
    uint32_t at  # next one to look at, in the look of second scan_s
    uint32_t scan_s

cdef int leavers_add(Leavers* l, uint64_t conn, uint32_t due_s, int code) noexcept nogil  # 0, or -1 without memory
cdef void leavers_free(Leavers* l) noexcept nogil


# All of them are looked at once a second. 0: none is left to look at now.
cdef inline bint leavers_scanning(Leavers* l, uint32_t now_s) noexcept nogil:
    if l.scan_s != now_s and l.n:
        l.scan_s = now_s
        l.at = 0
    return l.at < l.n


# Takes out the one at `at`; the last one takes its place.
cdef inline void leavers_drop(Leavers* l) noexcept nogil:
    l.n -= 1
    l.of[l.at] = l.of[l.n]
