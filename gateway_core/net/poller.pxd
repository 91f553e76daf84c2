"""The seam between the loop and the kernel's readiness. One backend: epoll, level-triggered.

Registered values are ids, never pointers: generation << 32 | slot of a connection, or one of the two below. An id
whose generation is over names nothing.
"""

from libc.stdint cimport uint32_t, uint64_t

from gateway_core.types cimport Conn, Loop

cdef enum:
    READY_IN = 1
    READY_OUT = 2
    READY_END = 4  # peer closed, reset or error

cdef uint64_t ID_LISTENER
cdef uint64_t ID_WAKE

cdef int poller_init(Loop* loop) noexcept nogil  # 0 or -1
cdef void poller_free(Loop* loop) noexcept nogil
cdef int poller_add(Loop* loop, Conn* c) noexcept nogil  # readable
cdef void poller_want_write(Loop* loop, Conn* c, bint on) noexcept nogil
cdef int poller_watch(Loop* loop, int fd, uint64_t id) noexcept nogil
cdef void poller_forget(Loop* loop, int fd) noexcept nogil
cdef int poller_wait(Loop* loop, int timeout_ms) noexcept nogil  # how many are ready
cdef uint64_t ready_id(Loop* loop, int i) noexcept nogil
cdef int ready_what(Loop* loop, int i) noexcept nogil  # READY_* bits
