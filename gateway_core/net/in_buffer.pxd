"""What a connection owns of its input: nothing, or the bytes of one unfinished record."""

from libc.stdint cimport uint8_t
from libc.stddef cimport size_t

from gateway_core.types cimport Conn, Loop

cdef size_t in_restore(Loop* loop, Conn* c, uint8_t* to) noexcept nogil  # copies the kept bytes, returns their count
cdef int in_keep(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil  # replaces them; 0 or -1
cdef int in_websocket(Loop* loop, Conn* c) noexcept nogil  # gives the connection its WsState; 0 or -1
cdef void in_drop(Loop* loop, Conn* c) noexcept nogil  # everything, WsState too
