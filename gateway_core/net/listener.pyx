from libc.stdint cimport uint16_t, uint64_t, uint8_t

from cmodules cimport layout
from gateway_core.includes.sys cimport EAGAIN, EMFILE, ENFILE, IP_BYTES, close, dup, qw_accept, qw_listen
from gateway_core.leaf.stats cimport N_ACCEPTED, N_ACCEPT_ERRORS, N_ACCEPT_PAUSES, stat_add
from gateway_core.net.poller cimport ID_LISTENER, poller_forget, poller_watch

LAYOUT = layout()

cdef enum:
    PAUSE_MS = 100


cdef void listener_init(Listener* l, Poller* poller, Stats* stats) noexcept nogil:
    l.fd = -1
    l.reserve_fd = -1
    l.accept_again_ns = 0
    l.poller = poller
    l.stats = stats


cdef int listener_open(
    Listener* l, const char* host, int port, int backlog, int unsent_bytes, int user_timeout_ms, int flags
) noexcept nogil:
    cdef int fd = qw_listen(host, <uint16_t>port, backlog, unsent_bytes, user_timeout_ms, flags)
    if fd < 0:
        return fd
    l.fd = fd
    l.reserve_fd = dup(l.poller.fd)
    return poller_watch(l.poller, fd, ID_LISTENER)


cdef void listener_close(Listener* l) noexcept nogil:
    if l.fd >= 0:
        close(l.fd)
    if l.reserve_fd >= 0:
        close(l.reserve_fd)
    l.fd = -1
    l.reserve_fd = -1
    l.accept_again_ns = 0


cdef void _out_of_descriptors(Listener* l, uint64_t now_ns) noexcept nogil:
    """Turns one waiting peer away with the reserve, so that it does not hang, and stops accepting for a while."""
    cdef uint8_t ip[IP_BYTES]
    cdef uint16_t port
    cdef int fd
    if l.reserve_fd >= 0:
        close(l.reserve_fd)
        fd = qw_accept(l.fd, ip, &port)
        if fd >= 0:
            close(fd)
        l.reserve_fd = dup(l.poller.fd)
    poller_forget(l.poller, l.fd)
    l.accept_again_ns = now_ns + <uint64_t>PAUSE_MS * 1000000
    stat_add(l.stats, N_ACCEPT_PAUSES, 1)


cdef void listener_resume(Listener* l, uint64_t now_ns) noexcept nogil:
    if l.accept_again_ns and now_ns >= l.accept_again_ns and l.fd >= 0:
        l.accept_again_ns = 0
        poller_watch(l.poller, l.fd, ID_LISTENER)


cdef int listener_next(Listener* l, uint64_t now_ns, uint8_t* ip16, uint16_t* port) noexcept nogil:
    cdef int fd
    while True:
        fd = qw_accept(l.fd, ip16, port)
        if fd >= 0:
            stat_add(l.stats, N_ACCEPTED, 1)
            return fd
        if fd == -EMFILE or fd == -ENFILE:
            _out_of_descriptors(l, now_ns)
            return -1
        if fd == -EAGAIN:
            return -1
        stat_add(l.stats, N_ACCEPT_ERRORS, 1)  # this peer is gone; the next may be well
