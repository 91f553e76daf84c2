"""QW1 inside WebSocket (RFC 6455): the upgrade, and binary messages whose payloads joined are the byte stream."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from benchmarks.loadgen.types cimport Swarm

cdef enum:
    CARRIAGE_HEAD = 16      # bytes that must be free before what `carriage_head` frames

# The GET request. 0 or -1.
cdef int carriage_greet(Swarm* s, uint32_t id) noexcept nogil

# Take the WebSocket framing out of what was just read: p[0:tail] is stream already, p[tail:n] is new. Returns the
# bytes of stream at p, or -1. While the answer to the upgrade is incomplete everything is left as it is and
# MARK_OPENED is not set.
cdef ptrdiff_t carriage_unwrap(Swarm* s, uint32_t id, uint8_t* p, size_t tail, size_t n) noexcept nogil

# Put the head of a masked binary message (masking key 0) before p; how long it is.
cdef size_t carriage_head(uint8_t* p, size_t n) noexcept nogil
