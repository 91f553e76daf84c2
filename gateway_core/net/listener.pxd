"""Accepting: a budget per tick, and a pause when the process is out of descriptors."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from gateway_core.leaf.stats cimport Stats
from gateway_core.net.poller cimport Poller

cdef struct Listener:
    int fd  # -1: closed
    int reserve_fd  # given up to turn one peer away when the process is out of descriptors
    uint64_t accept_again_ns  # paused until then, 0 = accepting
    Poller* poller
    Stats* stats

cdef void listener_init(Listener* l, Poller* poller, Stats* stats) noexcept nogil
# 0 or -errno; `flags` of qw_listen.
cdef int listener_open(
    Listener* l, const char* host, int port, int backlog, int unsent_bytes, int user_timeout_ms, int flags
) noexcept nogil
cdef void listener_close(Listener* l) noexcept nogil
# The next waiting peer: its descriptor, or -1 when there is none (or the process is out of descriptors).
cdef int listener_next(Listener* l, uint64_t now_ns, uint8_t* ip16, uint16_t* port) noexcept nogil
cdef void listener_resume(Listener* l, uint64_t now_ns) noexcept nogil  # ends a pause that is over
