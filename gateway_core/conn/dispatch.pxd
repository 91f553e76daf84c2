"""What happens when a socket is readable: bytes -> (WebSocket) -> records -> frames -> actions and events."""

from gateway_core.conn.table cimport Conn
from gateway_core.types cimport Loop

cdef void conn_readable(Loop* loop, Conn* c) noexcept nogil
