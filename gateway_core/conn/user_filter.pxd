"""Where users may be: a loop's counters of sessions by hash of the user, read by Python's threads.

A publish to u/<user> goes to the loops whose counter is not zero; in most cases one, however many loops there are.
Counting begins before the login command is given, so a publish after it finds the loop, and ends with the session.
Inline, so this module is only a .pxd.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from gateway_core.conn.table cimport Session, session_user
from gateway_core.includes.atomics cimport qw_add32, qw_load32, qw_sub32
from gateway_core.includes.cpu cimport qw_hash

cdef enum:
    FILTER_CELLS = 16384  # power of two: 64 KiB

cdef struct UserFilter:
    uint32_t* counts
    uint64_t seed


cdef inline int filter_init(UserFilter* f, uint64_t seed) noexcept nogil:
    """0, or -1 without memory."""
    f.seed = seed
    f.counts = <uint32_t*>calloc(FILTER_CELLS, sizeof(uint32_t))
    return 0 if f.counts != NULL else -1


cdef inline void filter_free(UserFilter* f) noexcept nogil:
    free(f.counts)
    f.counts = NULL


cdef inline uint32_t* filter_cell(UserFilter* f, Session* s) noexcept nogil:
    return &f.counts[qw_hash(session_user(s), s.user_len, f.seed) & (FILTER_CELLS - 1)]


cdef inline void filter_enter(UserFilter* f, Session* s) noexcept nogil:
    qw_add32(filter_cell(f, s), 1)


cdef inline void filter_leave(UserFilter* f, Session* s) noexcept nogil:
    qw_sub32(filter_cell(f, s), 1)


# False: nobody who hashes like this is here. `hash` as in SharedBuf.hash of a u/ topic.
cdef inline bint filter_may_hold(UserFilter* f, uint64_t hash) noexcept nogil:
    return qw_load32(&f.counts[hash & (FILTER_CELLS - 1)]) != 0
