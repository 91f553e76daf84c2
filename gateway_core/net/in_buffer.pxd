"""What a connection owns of its input: nothing, or the bytes of one unfinished record.

    len bytes of a record | raw bytes of a WebSocket frame that carries no part of it yet
"""

from libc.stdint cimport uint8_t
from libc.stddef cimport size_t

from gateway_core.types cimport Conn, Loop

# Copies the kept bytes; returns the record's count, *raw is that of those behind them.
cdef size_t in_restore(Loop* loop, Conn* c, uint8_t* to, size_t* raw) noexcept nogil
cdef int in_keep(Loop* loop, Conn* c, const uint8_t* p, size_t n, size_t raw) noexcept nogil  # replaces them; 0 or -1
cdef void in_done(Loop* loop, Conn* c) noexcept nogil  # the record is used up, the raw bytes stay
cdef int in_websocket(Loop* loop, Conn* c) noexcept nogil  # from now on a WebSocket (F_WS), nothing kept; 0 or -1
cdef void in_drop(Loop* loop, Conn* c) noexcept nogil  # everything; nothing may be read any more
