from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint32_t, uint8_t
from libc.stdlib cimport calloc, free

from cmodules cimport layout
from gateway_core.includes.sys cimport qw_map, qw_send_or_errno, qw_unmap
from gateway_core.includes.uring cimport qw_uring_close, qw_uring_open, qw_uring_put_send, qw_uring_run

LAYOUT = layout()

cdef enum:
    LINE = 64
    FEW = 2  # below, the ring costs more than it saves


cdef void sender_start(Sender* s, int kind) noexcept nogil:
    cdef qw_uring* ring
    if kind == SEND_SEND:
        return
    ring = <qw_uring*>calloc(1, sizeof(qw_uring))
    if ring == NULL:
        return
    if qw_uring_open(ring, STAGE_SENDS) < 0:
        free(ring)
        return
    s.buffer = <uint8_t*>qw_map(STAGE_BYTES)
    if s.buffer == NULL:
        qw_uring_close(ring)
        free(ring)
        return
    s.ring = ring


cdef void sender_free(Sender* s) noexcept nogil:
    if s.ring != NULL:
        qw_uring_close(s.ring)
        free(s.ring)
    qw_unmap(s.buffer, STAGE_BYTES)
    s.ring = NULL
    s.buffer = NULL


cdef void sender_stage(Sender* s, int fd, void* owner, const uint8_t* p, size_t n) noexcept nogil:
    cdef Staged* one = &s.at[s.n]
    one.owner = owner
    one.fd = fd
    one.p = p
    one.n = <uint32_t>n
    s.n += 1
    s.used = <size_t>(p - s.buffer + <ptrdiff_t>n + LINE - 1) & ~<size_t>(LINE - 1)


cdef void sender_run(Sender* s) noexcept nogil:
    cdef int32_t result[STAGE_SENDS]
    cdef uint32_t i
    if s.n <= FEW:
        for i in range(s.n):
            s.at[i].result = qw_send_or_errno(s.at[i].fd, s.at[i].p, s.at[i].n)
        return
    for i in range(s.n):
        qw_uring_put_send(s.ring, s.at[i].fd, s.at[i].p, s.at[i].n)
    qw_uring_run(s.ring, result)
    for i in range(s.n):
        s.at[i].result = result[i]
