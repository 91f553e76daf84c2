from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from gateway_core.includes.sys cimport (
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    close,
    epoll_event,
    epoll_wait,
    qw_epoll_create,
    qw_epoll_set,
)
from gateway_core.types cimport EVENTS_PER_WAIT, Conn, Loop, layout_mark

LAYOUT = layout_mark()

ID_LISTENER = <uint64_t>1 << 63
ID_WAKE = (<uint64_t>1 << 63) | 1


cdef int poller_init(Loop* loop) noexcept nogil:
    loop.epoll_fd = qw_epoll_create()
    loop.ready = <epoll_event*>calloc(EVENTS_PER_WAIT, sizeof(epoll_event))
    return 0 if loop.epoll_fd >= 0 and loop.ready != NULL else -1


cdef void poller_free(Loop* loop) noexcept nogil:
    if loop.epoll_fd >= 0:
        close(loop.epoll_fd)
    loop.epoll_fd = -1
    free(loop.ready)
    loop.ready = NULL


cdef uint64_t _id(Loop* loop, Conn* c) noexcept nogil:
    return (<uint64_t>c.generation << 32) | <uint64_t>(c - loop.conns)


cdef int poller_add(Loop* loop, Conn* c) noexcept nogil:
    return qw_epoll_set(loop.epoll_fd, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLRDHUP, _id(loop, c))


cdef void poller_want_write(Loop* loop, Conn* c, bint on) noexcept nogil:
    cdef uint32_t events = EPOLLIN | EPOLLRDHUP
    if on:
        events |= EPOLLOUT
    qw_epoll_set(loop.epoll_fd, EPOLL_CTL_MOD, c.fd, events, _id(loop, c))


cdef int poller_watch(Loop* loop, int fd, uint64_t id) noexcept nogil:
    return qw_epoll_set(loop.epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, id)


cdef void poller_forget(Loop* loop, int fd) noexcept nogil:
    qw_epoll_set(loop.epoll_fd, EPOLL_CTL_DEL, fd, 0, 0)


cdef int poller_wait(Loop* loop, int timeout_ms) noexcept nogil:
    cdef int n = epoll_wait(loop.epoll_fd, loop.ready, EVENTS_PER_WAIT, timeout_ms)
    return n if n > 0 else 0


cdef uint64_t ready_id(Loop* loop, int i) noexcept nogil:
    return loop.ready[i].data.u64


cdef int ready_what(Loop* loop, int i) noexcept nogil:
    cdef uint32_t e = loop.ready[i].events
    cdef int what = 0
    if e & <uint32_t>EPOLLIN:
        what |= READY_IN
    if e & <uint32_t>EPOLLOUT:
        what |= READY_OUT
    if e & <uint32_t>(EPOLLHUP | EPOLLERR | EPOLLRDHUP):
        what |= READY_END
    return what
