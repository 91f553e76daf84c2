"""Has this been here within the window? Two alternating Bloom filters under keys of their own: constant memory, and nobody
outside can choose what collides.

    now      remembers       a window long, then it is the one before
    before   is asked too    so that nothing is forgotten sooner than a window after it came

"Perhaps" costs its sender a round trip, so a filter that is full answers it to everything.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    FILTER_BITS = 1 << 22  # each: pages are touched as they are used
    FILTER_MOST = 1 << 19  # entries of one: 4 hashes err on 2 % of the strangers then
    FILTER_HASHES = 4
    FILTER_KEY = 16
    FILTERS = 2

cdef struct ReplayFilter:
    uint8_t* bits[FILTERS]
    uint32_t n[FILTERS]
    uint32_t now  # the one that remembers
    uint64_t window_ns
    uint64_t turned_ns
    uint8_t key[FILTER_KEY]

cdef int replay_init(ReplayFilter* f, uint64_t window_ns) noexcept nogil  # 0 or -1
cdef void replay_free(ReplayFilter* f) noexcept nogil
# Remembers it. 1: perhaps it was here before.
cdef bint replay_seen(ReplayFilter* f, const uint8_t* p, size_t n, uint64_t now_ns) noexcept nogil
