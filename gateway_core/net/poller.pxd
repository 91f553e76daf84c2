"""The seam between the loop and the kernel's readiness. One backend: epoll, level-triggered.

Registered values are ids, never pointers: generation << 32 | slot of a connection, or one of the two below. An id
whose generation is over names nothing.
"""

from libc.stdint cimport uint32_t, uint64_t

from gateway_core.includes.sys cimport epoll_event

cdef enum:
    READY_IN = 1
    READY_OUT = 2
    READY_END = 4  # peer closed, reset or error

cdef struct Poller:
    int fd
    epoll_event* ready
    int n_ready

cdef uint64_t ID_LISTENER
cdef uint64_t ID_WAKE

cdef void poller_blank(Poller* p) noexcept nogil  # nothing to free yet
cdef int poller_init(Poller* p) noexcept nogil  # 0 or -1
cdef void poller_free(Poller* p) noexcept nogil
cdef int poller_add(Poller* p, int fd, uint64_t id) noexcept nogil  # a connection: readable, or its peer's end; 0 or -1
cdef void poller_want(Poller* p, int fd, uint64_t id, bint read, bint write) noexcept nogil  # not reading: errors are told
cdef int poller_watch(Poller* p, int fd, uint64_t id) noexcept nogil  # anything else: readable; 0 or -1
cdef void poller_forget(Poller* p, int fd) noexcept nogil
cdef void poller_skip(Poller* p, uint64_t id) noexcept nogil  # what the last wait said of it is not true any more
cdef int poller_wait(Poller* p, int timeout_ms) noexcept nogil  # how many are ready
cdef uint64_t ready_id(Poller* p, int i) noexcept nogil
cdef int ready_what(Poller* p, int i) noexcept nogil  # READY_* bits
