"""Sending by schedule: see schedule.pxd."""

from benchmarks.loadgen.histogram cimport hist_add_ns
from benchmarks.loadgen.sockets cimport client_close
from benchmarks.loadgen.stamp cimport Stamp
from benchmarks.loadgen.types cimport LIVE
from cmodules cimport layout

LAYOUT = layout()


cdef void drop(Swarm* s, uint32_t id) noexcept nogil:
    client_close(s, id)
    s.n.closed += 1


cdef void send_from(Swarm* s, Schedule* plan, uint32_t sender, uint64_t m, uint64_t last) noexcept nogil:
    cdef uint32_t id = plan.first + sender * plan.step
    cdef const uint8_t* target = plan.targets + plan.target_at[sender]
    cdef size_t size = plan.target_at[sender + 1] - plan.target_at[sender]
    cdef Stamp stamp
    cdef uint64_t late = s.now - plan.hold_ns
    stamp.publisher = plan.publisher + sender
    while m < last and s.clients[id].state == LIVE:
        stamp.due_ns = plan.start + <uint64_t>(<double>m * plan.interval_ns)
        stamp.sequence = plan.sequence[sender] + 1
        if s.wire.append(s, id, target, size, &stamp) != 0:
            if s.wire.flush(s, id) != 0:
                drop(s, id)
            continue
        plan.sequence[sender] += 1
        s.n.sent += 1
        if stamp.due_ns - s.window_from < s.window_to - s.window_from:
            s.n.sent_in_window += 1
            hist_add_ns(&s.lag, late, stamp.due_ns)
        m += plan.senders
    if s.clients[id].state == LIVE and s.wire.flush(s, id) != 0:
        drop(s, id)


cdef void send_due(Swarm* s, Schedule* plan) noexcept nogil:
    """Everything due by now, sender by sender, each sender's messages in as few writes as they fit."""
    cdef uint64_t limit = min(s.now, plan.stop)
    cdef uint64_t last, m
    cdef uint32_t k
    if plan.start >= plan.stop:  # so rare that none is due in time
        plan.interval_ns = 0
        return
    if s.now < plan.start or (s.now < plan.next_write and s.now < plan.stop):
        return
    last = <uint64_t>(<double>(limit - plan.start) / plan.interval_ns)
    if limit < plan.stop:
        last += 1
    for k in range(<uint32_t>min(<uint64_t>plan.senders, last - plan.index)):
        m = plan.index + k
        send_from(s, plan, <uint32_t>(m % plan.senders), m, last)
    plan.index = last
    if plan.hold_ns:
        plan.next_write = s.now + plan.hold_ns
    if s.now >= plan.stop:
        plan.interval_ns = 0
