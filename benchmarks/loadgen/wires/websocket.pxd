"""Plain WebSocket (RFC 6455) to the uWebSockets peer: `J` + topic joins and is echoed, a stamped text is published."""

from benchmarks.loadgen.types cimport Swarm

cdef void websocket_open(Swarm* s) noexcept
