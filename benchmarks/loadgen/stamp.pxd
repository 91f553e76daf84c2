"""The stamp at the head of every text that the generator sends, so that any receiver can judge it.

    'q'  6 hex publisher  8 hex sequence (from 1)  16 hex intended send time (CLOCK_MONOTONIC ns)  '.'  filler

32 characters; a text is `size` characters long, size >= 32, the rest is a fixed filler.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    STAMP_SIZE = 32

cdef struct Stamp:
    uint32_t publisher
    uint32_t sequence
    uint64_t due_ns

cdef void stamp_put(uint8_t* p, size_t size, const Stamp* stamp) noexcept nogil
cdef int stamp_get(const uint8_t* p, size_t size, Stamp* out) noexcept nogil   # 1, or 0: not a stamped text
