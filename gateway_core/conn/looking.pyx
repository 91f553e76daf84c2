from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

from cmodules cimport layout
from gateway_core.conn.states cimport HELD, PARKED, state_in
from gateway_core.conn.table cimport F_DIRTY, Conn, Session, conn_id, id_in_loop, session_device, session_of, session_user, slot_of
from gateway_core.conn.topics cimport Topic, topic_find, topic_next
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.includes.sys cimport qw_tcp_count, qw_tcp_counts
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_LOOKED, event_push
from gateway_core.leaf.lists cimport NONE32

LAYOUT = layout()

cdef enum:
    LOOK_SLICE = 4096  # slots a tick


cdef void _address(Loop* loop, Conn* c, uint8_t* ip) noexcept nogil:
    """Its entry of the address table is its own as long as it lives."""
    if c.address_ref == NONE32:
        memset(ip, 0, IP_BYTES)
    else:
        memcpy(ip, loop.engine.addresses.at[c.address_ref].key, IP_BYTES)


cdef bint _in_network(const uint8_t* ip, const uint8_t* network, uint32_t bits) noexcept nogil:
    cdef uint32_t whole = bits >> 3, rest = bits & 7
    if memcmp(ip, network, whole) != 0:
        return False
    return rest == 0 or (ip[whole] ^ network[whole]) >> (8 - rest) == 0


cdef bint _fits(Loop* loop, Conn* c, const LookFor* f) noexcept nogil:
    cdef Session* s
    cdef const char* names = <const char*>f + sizeof(LookFor)
    cdef uint8_t ip[IP_BYTES]
    if not state_in(c.state, HELD):
        return False
    s = session_of(c)
    if f.user_len and (s.user_len != f.user_len or memcmp(session_user(s), names, f.user_len) != 0):
        return False
    if f.device_len and (s.device_len != f.device_len or memcmp(session_device(s), names + f.user_len, f.device_len) != 0):
        return False
    if f.bits:
        _address(loop, c, ip)
        return _in_network(ip, f.network, f.bits)
    return True


cdef Topic* _topic(Loop* loop, const LookFor* f) noexcept nogil:
    """The one that is asked for, NULL: nobody here is in it."""
    cdef const char* name = <const char*>f + sizeof(LookFor) + f.user_len + f.device_len
    return topic_find(&loop.topics, qw_hash(name, f.topic_len, loop.topics.seed), name, f.topic_len)


cdef uint32_t _next_member(Topic* t, uint32_t slot) noexcept nogil:
    """The first at or behind this slot, NONE32: there is none."""
    cdef uint32_t i, best = NONE32
    if t == NULL or t.pages != NULL:
        return NONE32 if t == NULL else topic_next(t, slot)
    for i in range(t.count):
        if slot <= t.dense[i] < best:
            best = t.dense[i]
    return best


cdef void _tell_end(Loop* loop, const LookFor* f) noexcept nogil:
    cdef Topic* t = _topic(loop, f) if f.topic_len else NULL
    cdef uint32_t members = t.count if t != NULL else 0
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = strings[1] = strings[2] = &members
    sizes[0] = sizes[1] = 0
    sizes[2] = sizeof(members)
    event_push(
        &loop.events, EV_LOOKED, id_in_loop(loop.index, 0), f.token, f.at if f.at < loop.table.high else 0, 0, 0,
        strings, sizes, 3,
    )


cdef void _tell(Loop* loop, Conn* c, uint64_t token) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef Looked l
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    cdef uint32_t due = loop.deadlines.at[slot_of(&loop.table, c)], until = loop.now_s + c.timeout_s
    cdef qw_tcp_counts counts
    memset(&l, 0, sizeof(l))
    qw_tcp_count(c.fd, &counts)
    l.bytes_received = counts.received
    l.bytes_acked = counts.acked
    l.rtt_us = counts.rtt_us
    l.resent = counts.resent
    l.session = s.id
    if c.out != NULL:
        l.queued_bytes = c.out.bytes
        l.tail_bytes = c.out.tail_len - c.out.tail_at
    l.idle_s = until - due if due and due < until else 0
    l.msgs_sent = c.msgs_sent
    l.timeout_s = c.timeout_s
    l.joined = s.joined
    l.flags = (c.flags & <uint16_t>~<unsigned int>F_DIRTY) | (LOOKED_PARKED if c.state == PARKED else 0)
    l.suite = c.suite
    l.platform = s.platform
    _address(loop, c, l.ip)
    strings[0] = session_user(s)
    strings[1] = session_device(s)
    strings[2] = &l
    sizes[0] = s.user_len
    sizes[1] = s.device_len
    sizes[2] = sizeof(l)
    event_push(&loop.events, EV_LOOKED, conn_id(&loop.table, c), token, 0, 0, 0, strings, sizes, 3)


cdef void look_begin(Loop* loop, LookFor* asked) noexcept nogil:
    free(loop.look)
    loop.look = asked


cdef void look_free(Loop* loop) noexcept nogil:
    free(loop.look)
    loop.look = NULL


cdef void look_step(Loop* loop) noexcept nogil:
    cdef LookFor* f = loop.look
    cdef Conn* c
    cdef Topic* t = _topic(loop, f) if f.topic_len else NULL
    cdef uint32_t i
    for i in range(<uint32_t>LOOK_SLICE):
        if loop.events.over_len:
            return
        if f.topic_len and f.most and f.slots:
            f.at = _next_member(t, f.at)
        if f.most == 0 or f.slots == 0 or f.at >= loop.table.high:
            _tell_end(loop, f)
            look_free(loop)
            return
        c = &loop.table.conns[f.at]
        f.at += 1
        f.slots -= 1
        if _fits(loop, c, f):
            _tell(loop, c, f.token)
            f.most -= 1
