"""What a session sent and its client has not acknowledged: references to MSG frames, numbered one after another.

    number   first ... first + count - 1        the last one is the session's latest, so nothing else needs to be kept

Nothing is allocated while all is acknowledged. Beyond a limit the oldest is let go: who lacks it cannot be served.
"""

from libc.stdint cimport uint32_t, uint64_t

from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.leaf.stats cimport Stats

cdef struct Unacked:  # the references follow
    uint32_t first  # number of the oldest
    uint32_t head
    uint32_t count
    uint32_t cap  # power of two
    uint32_t bytes
    uint32_t pad  # the references are aligned

cdef struct UnackedLimits:
    uint32_t messages
    uint32_t bytes

# One MSG frame, the session's latest; adds a reference. Without memory all is let go.
cdef void unacked_push(Unacked** own, const UnackedLimits* limits, Stats* stats, SharedBuf* b, uint32_t number) noexcept nogil
cdef void unacked_ack(Unacked** own, Stats* stats, uint64_t number) noexcept nogil  # all up to it
cdef void unacked_clear(Unacked** own, Stats* stats) noexcept nogil
# `by` takes back what was said before it: the newest MSG of its conversation and all before that are let go, all where
# the conversation of one cannot be told.
cdef void unacked_erase(Unacked** own, Stats* stats, SharedBuf* by) noexcept nogil
# Whose it is hears this conversation no longer: likewise.
cdef void unacked_forget(Unacked** own, Stats* stats, const char* talk, size_t n) noexcept nogil


# Is everything behind `seen` here? `sent` is the number of the latest.
cdef inline bint unacked_reaches(const Unacked* u, uint64_t seen, uint64_t sent) noexcept nogil:
    return seen <= sent and (seen == sent or (u != NULL and seen + 1 >= u.first))


# first <= number < first + count; the reference stays the ring's.
cdef inline SharedBuf* unacked_get(Unacked* u, uint32_t number) noexcept nogil:
    return (<SharedBuf**>(<char*>u + sizeof(Unacked)))[(u.head + number - u.first) & (u.cap - 1)]
