"""Connecting from many loopback addresses, writing without blocking, closing."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from benchmarks.loadgen.types cimport Swarm

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* out)
    enum:
        CLOCK_MONOTONIC
        CLOCK_THREAD_CPUTIME_ID

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int ep, int op, int fd, epoll_event* event)
    int epoll_wait(int ep, epoll_event* events, int n, int timeout_ms)
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP

cdef inline uint64_t clock_ns(int clock) noexcept nogil:
    cdef timespec t
    clock_gettime(clock, &t)
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec

# Start connecting client `id` from its own address 127.(10 + g / 65536 % 200).(g / 256 % 256).(1 + g % 254), g its
# global index, to gateway g % gateway_count. 0, or -1.
cdef int client_connect(Swarm* s, uint32_t id) noexcept nogil

# Write, keeping what the socket does not take (at most OUT_MAX bytes). 0, or -1: the client must be dropped.
cdef int client_write(Swarm* s, uint32_t id, const uint8_t* p, size_t n) noexcept nogil
cdef int client_write_more(Swarm* s, uint32_t id) noexcept nogil

# Bytes into s.inbuf, an earlier tail first. The count, 0 when there is nothing, -1 at the end.
cdef ptrdiff_t client_read(Swarm* s, uint32_t id) noexcept nogil
cdef int client_keep_tail(Swarm* s, uint32_t id, const uint8_t* p, size_t n) noexcept nogil

# Stop or go on listening to a client; its kernel buffer (a small one, for s.deaf and above) fills meanwhile. 0, or -1.
cdef int client_listen(Swarm* s, uint32_t id, int listening) noexcept nogil

# Close with a reset, which leaves no TIME_WAIT; frees the buffers, the state becomes GONE.
cdef void client_close(Swarm* s, uint32_t id) noexcept nogil
