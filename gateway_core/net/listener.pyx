from libc.stdint cimport uint16_t, uint64_t, uint8_t

from gateway_core.includes.sys cimport EAGAIN, EMFILE, ENFILE, close, dup, qw_accept, qw_listen
from gateway_core.leaf.stats cimport N_ACCEPT_ERRORS, N_ACCEPT_PAUSES, N_ACCEPTED, stat_add
from gateway_core.net.poller cimport ID_LISTENER, poller_forget, poller_watch
from gateway_core.types cimport Loop, layout_mark

LAYOUT = layout_mark()

cdef enum:
    PAUSE_MS = 100


cdef int listener_open(Loop* loop, const char* host, int port) noexcept nogil:
    cdef int fd = qw_listen(host, <uint16_t>port, loop.set.backlog, loop.set.unsent_bytes)
    if fd < 0:
        return fd
    loop.listen_fd = fd
    loop.reserve_fd = dup(loop.epoll_fd)
    return poller_watch(loop, fd, ID_LISTENER)


cdef void listener_close(Loop* loop) noexcept nogil:
    if loop.listen_fd >= 0:
        close(loop.listen_fd)
    if loop.reserve_fd >= 0:
        close(loop.reserve_fd)
    loop.listen_fd = -1
    loop.reserve_fd = -1
    loop.accept_again_ns = 0


cdef void _out_of_descriptors(Loop* loop) noexcept nogil:
    """Turns one waiting peer away with the reserve, so that it does not hang, and stops accepting for a while."""
    cdef uint8_t ip[16]
    cdef uint16_t port
    cdef int fd
    if loop.reserve_fd >= 0:
        close(loop.reserve_fd)
        fd = qw_accept(loop.listen_fd, ip, &port)
        if fd >= 0:
            close(fd)
        loop.reserve_fd = dup(loop.epoll_fd)
    poller_forget(loop, loop.listen_fd)
    loop.accept_again_ns = loop.now_ns + <uint64_t>PAUSE_MS * 1000000
    stat_add(loop, N_ACCEPT_PAUSES, 1)


cdef void listener_resume(Loop* loop) noexcept nogil:
    if loop.accept_again_ns and loop.now_ns >= loop.accept_again_ns and loop.listen_fd >= 0:
        loop.accept_again_ns = 0
        poller_watch(loop, loop.listen_fd, ID_LISTENER)


cdef int listener_next(Loop* loop, uint8_t* ip16, uint16_t* port) noexcept nogil:
    cdef int fd
    while True:
        fd = qw_accept(loop.listen_fd, ip16, port)
        if fd >= 0:
            stat_add(loop, N_ACCEPTED, 1)
            return fd
        if fd == -EMFILE or fd == -ENFILE:
            _out_of_descriptors(loop)
            return -1
        if fd == -EAGAIN:
            return -1
        stat_add(loop, N_ACCEPT_ERRORS, 1)  # this peer is gone; the next may be well
