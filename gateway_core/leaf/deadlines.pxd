"""Liveness: one packed array of seconds, scanned in slices; no timer per connection."""

from libc.stdint cimport uint32_t

from gateway_core.types cimport Conn, Loop

# Looks at up to `slots` deadlines from loop.scan_at on; writes the expired slots. Returns how many (<= room).
cdef uint32_t scan_slice(const uint32_t* deadlines, uint32_t* at, uint32_t end, uint32_t now_s, uint32_t slots,
                         uint32_t* expired, uint32_t room) noexcept nogil


cdef inline void touch(Loop* loop, Conn* c) noexcept nogil:
    loop.deadlines[<uint32_t>(c - loop.conns)] = loop.now_s + c.timeout_s
