from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint8_t
from libc.string cimport memcmp, memcpy

from cmodules cimport layout
from crypto.aead cimport CipherState
from crypto.sodium cimport sodium
from frame.constants cimport FRAME_CLOSE
from frame.names cimport ROOM_PREFIX, ROOM_PREFIX_BYTES
from frame.varint cimport UV_MAX, uv_put
from gateway_core.conn.announce cimport TOPIC_MAX
from gateway_core.conn.states cimport E_PARKED
from gateway_core.conn.table cimport (
    F_LEFT,
    F_LOST,
    F_MISSED,
    F_TRANSPORT,
    Session,
    conn_id,
    conn_move,
    parked_enter,
    parked_leave,
    session_device,
    session_of,
    session_topics,
    session_user,
    slot_of,
)
from gateway_core.conn.tickets cimport until_s, wall_s
from gateway_core.conn.topics cimport Topic, topic_leave
from gateway_core.conn.transport cimport doom_quiet, enqueue_frame, flush_conn
from gateway_core.includes.sys cimport close, qw_unacked_bytes
from gateway_core.leaf.address_table cimport address_leave
from gateway_core.leaf.deadlines cimport deadline_set
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_PARKED, event_push
from gateway_core.leaf.lists cimport NONE32
from gateway_core.leaf.policies cimport policies_parked
from gateway_core.leaf.stats cimport N_PARKED, R_COMMAND, R_IDLE, R_PARK_ROOM, R_PEER_CLOSED, R_PEER_RESET, stat_add
from gateway_core.net.in_buffer cimport in_drop
from gateway_core.net.out_queue cimport queue_clear

LAYOUT = layout()


cdef bint may_park(Loop* loop, Conn* c, const Doom* d) noexcept nogil:
    cdef Session* s = session_of(c)
    if loop.config.park_s == 0 or loop.config.park_most == 0 or loop.tickets.n == 0 or s.until == 0 or until_s(loop, s) <= wall_s():
        return False
    return d.reason == R_IDLE or (d.code == 0 and (d.reason == R_PEER_CLOSED or d.reason == R_PEER_RESET))


cdef bint output_lost(Conn* c) noexcept nogil:
    return c.out != NULL or c.flags & F_LOST or qw_unacked_bytes(c.fd) != 0


cdef void _leave_rooms(Loop* loop, Conn* c) noexcept nogil:
    """And their tags. The list is swapped about under the walk, so it begins anew after each."""
    cdef Session* s = session_of(c)
    cdef Topic* t
    cdef char name[TOPIC_MAX]
    cdef uint32_t n, i = 0
    while i < s.joined:
        t = loop.topics.by_id[session_topics(s)[i]]
        if t.room_len == 0 and memcmp(t.name, ROOM_PREFIX, ROOM_PREFIX_BYTES) == 0:
            n = t.name_len
            memcpy(name, t.name, n)  # the topic may end with this member
            topic_leave(&loop.topics, c, name, n)
            c.flags |= F_LEFT
            i = 0
        else:
            i += 1


cdef void _last_words(Loop* loop, Conn* c, int code) noexcept nogil:
    """CLOSE to a peer that is silent: if it still hears, it knows to come back. Nothing waits for it to be taken."""
    cdef uint8_t body[UV_MAX]
    queue_clear(&loop.queues, &c.out, False)
    if c.out != NULL or c.flags & F_LOST:
        return
    enqueue_frame(loop, c, FRAME_CLOSE, body, <size_t>uv_put(body, <unsigned long long>code))
    flush_conn(loop, c)


cdef void tell_parked(Loop* loop, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = session_user(s)
    strings[1] = session_device(s)
    sizes[0] = s.user_len
    sizes[1] = s.device_len
    event_push(&loop.events, EV_PARKED, conn_id(&loop.table, c), 0, 0, 0, 0, strings, sizes, 2)


cdef void park(Loop* loop, Conn* c, const Doom* d) noexcept nogil:
    if output_lost(c):
        c.flags |= F_MISSED
    if d.code:
        _last_words(loop, c, d.code)
    queue_clear(&loop.queues, &c.out, True)
    in_drop(&c.in_buf, &loop.stats)
    close(c.fd)
    c.fd = -1
    address_leave(&loop.engine.addresses, c.address_ref)
    c.address_ref = NONE32
    c.flags &= <uint16_t>~<unsigned int>F_TRANSPORT
    sodium.memzero(&c.tx, sizeof(CipherState))
    sodium.memzero(&c.rx, sizeof(CipherState))
    conn_move(&loop.table, c, E_PARKED)
    _leave_rooms(loop, c)
    parked_enter(&loop.table, c)
    policies_parked(&loop.policies, session_of(c).told, 1)
    deadline_set(&loop.deadlines, slot_of(&loop.table, c), loop.now_s + loop.config.park_s)
    stat_add(&loop.stats, N_PARKED, 1)
    tell_parked(loop, c)
    if loop.table.parked > loop.config.park_most:
        doom_quiet(loop, &loop.table.conns[loop.table.parked_first], R_PARK_ROOM, 0)


cdef void unpark(Loop* loop, Conn* c) noexcept nogil:
    parked_leave(&loop.table, c)
    policies_parked(&loop.policies, session_of(c).told, -1)


cdef void end_parked(Loop* loop, int code) noexcept nogil:
    cdef uint32_t slot = loop.table.parked_first
    cdef Conn* c
    while slot != NONE32:
        c = &loop.table.conns[slot]
        slot = <uint32_t>c.rx.n
        doom_quiet(loop, c, R_COMMAND, code)
