"""Who shall leave: sessions are picked for Python, told by a GOAWAY of their own, and closed when they stay.

    pick_begin, pick_step   Python asked for so many          EV_PICKED each, one without a user when a round found none
    ages_step               whose age is over                 EV_PICKED; closed half an age later
    send_away               the GOAWAY that Python made       closed with its code when it is still there `after_s` later
    stay_begin              nobody shall leave any more       what was asked, told and due is forgotten

A session is picked once, until stay_begin.
"""

from libc.stdint cimport uint32_t, uint64_t

from gateway_core.conn.table cimport Conn
from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.types cimport Loop

# Those that have read nothing for idle_s, and whose session's id is lower than `before`.
cdef void pick_begin(Loop* loop, uint32_t most, uint32_t idle_s, uint64_t before) noexcept nogil
cdef void pick_step(Loop* loop) noexcept nogil
cdef bint pick_busy(Loop* loop) noexcept nogil  # the loop must not sleep
cdef void ages_step(Loop* loop) noexcept nogil
cdef void send_away(Loop* loop, Conn* c, SharedBuf* goaway, uint32_t after_s, int code) noexcept nogil  # after_s 0: never
cdef void leavers_step(Loop* loop) noexcept nogil
cdef void stay_begin(Loop* loop) noexcept nogil
