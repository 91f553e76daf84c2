"""Accepting: a budget per tick, and a pause when the process is out of descriptors."""

from libc.stdint cimport uint8_t, uint16_t

from gateway_core.types cimport Loop

cdef int listener_open(Loop* loop, const char* host, int port) noexcept nogil  # 0 or -errno
cdef void listener_close(Loop* loop) noexcept nogil
# The next waiting peer: its descriptor, or -1 when there is none (or the process is out of descriptors).
cdef int listener_next(Loop* loop, uint8_t* ip16, uint16_t* port) noexcept nogil
cdef void listener_resume(Loop* loop) noexcept nogil  # ends a pause that is over
