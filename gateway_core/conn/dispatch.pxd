"""What happens when a socket is readable: bytes -> (WebSocket) -> records -> frames -> actions and events."""

from gateway_core.types cimport Conn, Loop

cdef void conn_readable(Loop* loop, Conn* c) noexcept nogil
