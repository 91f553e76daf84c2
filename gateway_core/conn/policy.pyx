from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from cmodules cimport layout
from frame.constants cimport REPORT_MAX
from gateway_core.conn.session cimport interval_timeout, set_interval
from gateway_core.conn.table cimport F_REPORTED, Session, conn_id, session_device, session_of, session_user
from gateway_core.conn.transport cimport enqueue
from gateway_core.includes.sys cimport qw_tcp_count, qw_tcp_counts
from gateway_core.leaf.events cimport EV_REPORT, EVENT_STRINGS, event_push
from gateway_core.leaf.policies cimport (
    P_PINGS,
    P_RTT_COUNT,
    P_RTT_US,
    PolicyEntry,
    policies_entry,
    policies_told,
)
from gateway_core.leaf.stats cimport N_REPORTS, N_REPORTS_REFUSED, stat_add

LAYOUT = layout()


cdef PolicyEntry* _tell(Loop* loop, Conn* c, uint32_t rev) noexcept nogil:
    """The entry it goes by, of which it hears now unless it did before."""
    cdef Session* s = session_of(c)
    cdef uint32_t entry = policies_entry(&loop.policies, s.policy, session_device(s), s.device_len)
    cdef PolicyEntry* e = &loop.policies.entries[entry]
    if entry == s.told:
        return e
    policies_told(&loop.policies, &s.told, entry)
    # Never shorter by itself: it may have announced a longer one, and says so when that ends.
    if interval_timeout(loop, e.ping_interval_s) > c.timeout_s:
        set_interval(loop, c, e.ping_interval_s)
    if e.frame != NULL and (e.rev != rev or rev == 0):
        enqueue(loop, c, e.frame)
    return e


cdef void policy_choose(Loop* loop, Conn* c, uint32_t row, uint32_t rev) noexcept nogil:
    cdef Session* s = session_of(c)
    loop.policies.rows[s.policy].sessions -= 1
    s.policy = <uint16_t>row
    loop.policies.rows[row].sessions += 1
    _tell(loop, c, rev)


cdef void policy_pong(Loop* loop, Conn* c) noexcept nogil:
    cdef qw_tcp_counts counts
    cdef PolicyEntry* e = _tell(loop, c, 0)
    e.count[P_PINGS] += 1
    if loop.policies.rows[session_of(c).policy].share:
        qw_tcp_count(c.fd, &counts)
        if counts.rtt_us:
            e.count[P_RTT_US] += counts.rtt_us
            e.count[P_RTT_COUNT] += 1
    if e.pong != NULL:
        enqueue(loop, c, e.pong)


cdef void policy_report(Loop* loop, Conn* c, const uint8_t* body, size_t n) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    if n > REPORT_MAX:
        stat_add(&loop.stats, N_REPORTS_REFUSED, 1)
        return
    strings[0] = session_user(s)
    sizes[0] = s.user_len
    strings[1] = body
    sizes[1] = <uint32_t>n
    event_push(
        &loop.events, EV_REPORT, conn_id(&loop.table, c), 0, 0, not c.flags & F_REPORTED, s.platform, strings, sizes, 2
    )
    c.flags |= F_REPORTED
    stat_add(&loop.stats, N_REPORTS, 1)
