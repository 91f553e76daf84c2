from libc.stdint cimport uint16_t, uint32_t

from cmodules cimport layout
from gateway_core.conn.table cimport F_BLOCKED, F_PAUSED, poll_id, slot_of
from gateway_core.leaf.lists cimport slots_push
from gateway_core.leaf.stats cimport N_READS_EASED, stat_add
from gateway_core.net.poller cimport poller_want
from gateway_core.types cimport EASED_READ, EASE_READS, READ_BYTES

LAYOUT = layout()

cdef enum:
    PAUSE_NS = 250000000


cdef void ease(Loop* loop, int what) noexcept nogil:
    loop.easing = <uint32_t>what
    loop.read_most = EASED_READ if what & EASE_READS else READ_BYTES
    if not what & EASE_READS:
        loop.resume_ns = 0
        reads_resume(loop)


cdef void read_pause(Loop* loop, Conn* c) noexcept nogil:
    if slots_push(&loop.paused, slot_of(&loop.table, c)) < 0:
        return
    if loop.paused.len == 1:
        loop.resume_ns = loop.now_ns + PAUSE_NS
    c.flags |= F_PAUSED
    stat_add(&loop.stats, N_READS_EASED, 1)
    poller_want(&loop.poller, c.fd, poll_id(&loop.table, c), False, (c.flags & F_BLOCKED) != 0)


cdef void reads_resume(Loop* loop) noexcept nogil:
    cdef uint32_t i
    cdef Conn* c
    if loop.paused.len == 0 or loop.now_ns < loop.resume_ns:
        return
    for i in range(loop.paused.len):
        c = &loop.table.conns[loop.paused.at[i]]
        if not c.flags & F_PAUSED:  # it has ended since
            continue
        c.flags &= <uint16_t>~<unsigned int>F_PAUSED
        poller_want(&loop.poller, c.fd, poll_id(&loop.table, c), True, (c.flags & F_BLOCKED) != 0)
    loop.paused.len = 0
