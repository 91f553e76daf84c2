"""WebSocket as a carrier: binary payloads are the byte stream, message boundaries mean nothing."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from gateway_core.conn.table cimport Conn
from gateway_core.types cimport Loop

# Judges the request head at p. > 0 consumed and upgraded, 0 more is needed, -1 doomed or closing.
cdef ptrdiff_t ws_upgrade(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil
# Strips frames in place: the payload bytes end up at p. Their count, or -1 when the connection is doomed. Behind them
# stand *raw bytes that wait for the rest of a header or of a control frame: p[0] next time.
cdef ptrdiff_t ws_strip(Loop* loop, Conn* c, uint8_t* p, size_t n, size_t* raw) noexcept nogil
