from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from cmodules cimport layout
from gateway_core.includes.sys cimport (
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    close,
    epoll_wait,
    qw_epoll_create,
    qw_epoll_set,
)

LAYOUT = layout()

cdef enum:
    EVENTS_PER_WAIT = 512

ID_LISTENER = <uint64_t>1 << 63
ID_WAKE = (<uint64_t>1 << 63) | 1


cdef void poller_blank(Poller* p) noexcept nogil:
    p.fd = -1
    p.ready = NULL
    p.n_ready = 0


cdef int poller_init(Poller* p) noexcept nogil:
    p.fd = qw_epoll_create()
    p.ready = <epoll_event*>calloc(EVENTS_PER_WAIT, sizeof(epoll_event))
    return 0 if p.fd >= 0 and p.ready != NULL else -1


cdef void poller_free(Poller* p) noexcept nogil:
    if p.fd >= 0:
        close(p.fd)
    p.fd = -1
    free(p.ready)
    p.ready = NULL


cdef int poller_add(Poller* p, int fd, uint64_t id) noexcept nogil:
    return qw_epoll_set(p.fd, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, id)


cdef void poller_want(Poller* p, int fd, uint64_t id, bint read, bint write) noexcept nogil:
    cdef uint32_t events = EPOLLIN | EPOLLRDHUP if read else 0  # the end of the stream stands behind what is unread
    if write:
        events |= EPOLLOUT
    qw_epoll_set(p.fd, EPOLL_CTL_MOD, fd, events, id)


cdef int poller_watch(Poller* p, int fd, uint64_t id) noexcept nogil:
    return qw_epoll_set(p.fd, EPOLL_CTL_ADD, fd, EPOLLIN, id)


cdef void poller_forget(Poller* p, int fd) noexcept nogil:
    qw_epoll_set(p.fd, EPOLL_CTL_DEL, fd, 0, 0)


cdef int poller_wait(Poller* p, int timeout_ms) noexcept nogil:
    cdef int n = epoll_wait(p.fd, p.ready, EVENTS_PER_WAIT, timeout_ms)
    p.n_ready = n if n > 0 else 0
    return p.n_ready


cdef void poller_skip(Poller* p, uint64_t id) noexcept nogil:
    cdef int i
    for i in range(p.n_ready):
        if p.ready[i].data.u64 == id:
            p.ready[i].events = 0


cdef uint64_t ready_id(Poller* p, int i) noexcept nogil:
    return p.ready[i].data.u64


cdef int ready_what(Poller* p, int i) noexcept nogil:
    cdef uint32_t e = p.ready[i].events
    cdef int what = 0
    if e & <uint32_t>EPOLLIN:
        what |= READY_IN
    if e & <uint32_t>EPOLLOUT:
        what |= READY_OUT
    if e & <uint32_t>(EPOLLHUP | EPOLLERR | EPOLLRDHUP):
        what |= READY_END
    return what
