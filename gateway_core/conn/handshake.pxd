"""From the first bytes of QW1 to AUTH.

A peer that has not authenticated owns its PreAuth and at most one unfinished message; first flights that were judged wait
in a FIFO of connection ids for their group (conn/answering).
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from frame.frames cimport Frame
from gateway_core.conn.handing cimport Handed
from gateway_core.conn.table cimport Conn
from gateway_core.types cimport Loop

# One unit of the stream: > 0 consumed, 0 more is needed (or it waits), -1 doomed or closing.
cdef ptrdiff_t proxy(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil  # PROXY v2 header
cdef ptrdiff_t hello(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil  # preamble and message 1
cdef void flight_handed(Loop* loop, Handed* h) noexcept nogil  # a whole first flight from another loop; h is freed
cdef void early_frame(Loop* loop, Conn* c, const Frame* f) noexcept nogil  # a frame before login: AUTH, or the end
