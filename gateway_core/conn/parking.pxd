"""A session whose connection was lost keeps its slot, its user, its groups and its ring, and waits for its client.

    LIVE --(reset, end of stream, idle)--> PARKED --resume--> LIVE
                                              |---time over, room needed, kicked---> its end

It has no socket, no keys and no buffers, is out of its rooms, and Python heard of it (EV_PARKED).
"""

from gateway_core.conn.table cimport Conn
from gateway_core.types cimport Doom, Loop

# May a LIVE one with this verdict wait for its client?
cdef bint may_park(Loop* loop, Conn* c, const Doom* d) noexcept nogil
cdef void park(Loop* loop, Conn* c, const Doom* d) noexcept nogil
cdef void unpark(Loop* loop, Conn* c) noexcept nogil  # it waits no longer: its client is here, or its end
# Of what was written last, some may not have reached the peer: events among it are lost.
cdef bint output_lost(Conn* c) noexcept nogil
cdef void tell_parked(Loop* loop, Conn* c) noexcept nogil  # EV_PARKED
cdef void end_parked(Loop* loop, int code) noexcept nogil  # all of them
