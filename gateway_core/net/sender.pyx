from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint32_t, uint8_t
from libc.stdlib cimport calloc, free

from gateway_core.includes.sys cimport qw_map, qw_send_or_errno, qw_unmap
from gateway_core.includes.uring cimport (
    qw_uring,
    qw_uring_close,
    qw_uring_open,
    qw_uring_put_send,
    qw_uring_run,
)
from gateway_core.types cimport STAGE_FLUSH, STAGE_SENDS, Conn, Loop, Stage, Staged, layout_mark

LAYOUT = layout_mark()

cdef enum:
    STAGE_BYTES = 1 << 20  # 64 flushes of 15 kB; only what is used becomes resident
    LINE = 64
    FEW = 2  # below, the ring costs more than it saves


cdef void sender_start(Loop* loop) noexcept nogil:
    cdef Stage* s = &loop.stage
    cdef qw_uring* ring
    if loop.set.sender == SEND_SEND:
        return
    ring = <qw_uring*>calloc(1, sizeof(qw_uring))
    if ring == NULL:
        return
    if qw_uring_open(ring, STAGE_SENDS) < 0:
        free(ring)
        return
    s.room = <uint8_t*>qw_map(STAGE_BYTES)
    if s.room == NULL:
        qw_uring_close(ring)
        free(ring)
        return
    s.ring = ring


cdef void sender_free(Loop* loop) noexcept nogil:
    cdef Stage* s = &loop.stage
    if s.ring != NULL:
        qw_uring_close(s.ring)
        free(s.ring)
    qw_unmap(s.room, STAGE_BYTES)
    s.ring = NULL
    s.room = NULL


cdef bint sender_full(Loop* loop) noexcept nogil:
    return loop.stage.n == STAGE_SENDS or loop.stage.used + STAGE_FLUSH > STAGE_BYTES


cdef uint8_t* sender_room(Loop* loop) noexcept nogil:
    return loop.stage.room + loop.stage.used


cdef void sender_stage(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef Stage* s = &loop.stage
    cdef Staged* one = &s.at[s.n]
    one.conn = c
    one.p = p
    one.n = <uint32_t>n
    s.n += 1
    s.used = <size_t>(p - s.room + <ptrdiff_t>n + LINE - 1) & ~<size_t>(LINE - 1)


cdef void sender_run(Loop* loop) noexcept nogil:
    cdef Stage* s = &loop.stage
    cdef int32_t result[STAGE_SENDS]
    cdef uint32_t i
    if s.n <= FEW:
        for i in range(s.n):
            s.at[i].result = qw_send_or_errno(s.at[i].conn.fd, s.at[i].p, s.at[i].n)
        return
    for i in range(s.n):
        qw_uring_put_send(s.ring, s.at[i].conn.fd, s.at[i].p, s.at[i].n)
    qw_uring_run(s.ring, result)
    for i in range(s.n):
        s.at[i].result = result[i]
