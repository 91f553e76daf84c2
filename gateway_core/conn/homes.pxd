"""Where users may be: a loop's counters of sessions by hash of the user, read by Python's threads.

A publish to u/<user> goes to the loops whose counter is not zero; in most cases one, however many loops there are.
Counting begins before the login command is given, so a publish after it finds the loop, and ends with the session.
"""

from libc.stdint cimport uint32_t, uint64_t

from gateway_core.includes.atomics cimport qw_add32, qw_load32, qw_sub32
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.types cimport HOMES, Loop, Session, session_user


cdef inline uint32_t* home_of(Loop* loop, Session* s) noexcept nogil:
    return &loop.homes[qw_hash(session_user(s), s.user_len, loop.engine.seed) & (HOMES - 1)]


cdef inline void home_enter(Loop* loop, Session* s) noexcept nogil:
    qw_add32(home_of(loop, s), 1)


cdef inline void home_leave(Loop* loop, Session* s) noexcept nogil:
    qw_sub32(home_of(loop, s), 1)


# False: nobody who hashes like this is here. `hash` as in SharedBuf.hash of a u/ topic.
cdef inline bint home_may_hold(Loop* loop, uint64_t hash) noexcept nogil:
    return qw_load32(&loop.homes[hash & (HOMES - 1)]) != 0
