from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from cmodules cimport layout
from crypto.sodium cimport sodium
from frame.constants cimport CLOSE_DRAINING, CLOSE_OVERLOADED, CLOSE_PROTOCOL_ERROR, FRAME_CLOSE
from frame.record cimport put_u16
from frame.varint cimport UV_MAX, uv_put
from frame.websocket cimport WS_CLOSE, WS_GOING_AWAY, WS_NORMAL, WS_TRY_LATER, ws_header_put
from gateway_core.conn.states cimport (
    ASKED,
    CLOSING,
    DEAF,
    DOOMED,
    ENDING,
    E_ENDED,
    E_LOGIN,
    E_PARDONED,
    E_SENT,
    FREE,
    KEYED,
    KEYLESS,
    LIVE,
    PARKED,
    Expiry,
    expiry,
    state_in,
)
from gateway_core.conn.table cimport (
    F_ADMITTED,
    F_LOST,
    F_REPORTED,
    F_TOLD,
    F_WS,
    IS_PROXIER,
    PreAuth,
    conn_id,
    conn_move,
    conn_new,
    conn_release,
    key_begins,
    poll_id,
    preauth_enter,
    preauth_leave,
    preauth_size,
    session_device,
    session_free,
    session_of,
    session_settle,
    session_user,
    slot_of,
)
from gateway_core.conn.parking cimport may_park, park, unpark
from gateway_core.conn.tickets cimport ticket_give
from gateway_core.conn.topics cimport topics_leave_all
from gateway_core.conn.transport cimport doom, doom_quiet, enqueue, flush_conn, send_raw
from gateway_core.conn.user_filter cimport filter_leave
from gateway_core.conn.users cimport user_add, user_missed, user_remove
from gateway_core.includes.sys cimport IP_BYTES, close, qw_set_buffers, qw_shutdown_write
from gateway_core.leaf.address_table cimport (
    ADDRESS_OK,
    ADDRESS_TOO_FAST,
    ADDRESS_TOO_MANY,
    address_enter,
    address_leave,
)
from gateway_core.leaf.admission cimport admission_take, admission_wait
from gateway_core.leaf.deadlines cimport deadline_cap, deadline_set
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_CLOSED, EV_SILENT, event_push
from gateway_core.leaf.lists cimport NONE32
from gateway_core.leaf.policies cimport (
    P_RESET,
    P_SILENT,
    P_VANISHED,
    default_interval,
    policies_died,
    policies_enter,
    policies_leave,
)
from gateway_core.leaf.ring cimport unacked_clear
from gateway_core.leaf.shared_buf cimport buf_frame, buf_unref
from gateway_core.leaf.stats cimport (
    L_PREAUTH,
    L_SESSIONS,
    L_TOLD,
    N_ADMITTED_NEW,
    N_DEFERRED_NEW,
    N_LOGINS,
    N_PARKED_OVER,
    N_REFUSED_FULL,
    N_REFUSED_IP_CONNECTIONS,
    N_REFUSED_IP_RATE,
    N_REFUSED_NET64,
    N_STALE_COMMANDS,
    R_CLOSE_STALLED,
    R_IDLE,
    R_MADE_ROOM,
    R_MEMORY,
    R_PARK_OVER,
    R_PARK_ROOM,
    R_PEER_CLOSED,
    R_PEER_RESET,
    R_STOPPED,
    count_code,
    stat_add,
)
from gateway_core.leaf.token_bucket cimport bucket_fill
from gateway_core.net.in_buffer cimport in_drop
from gateway_core.net.out_queue cimport queue_clear
from gateway_core.net.poller cimport poller_add
from gateway_core.types cimport Doom, touch

LAYOUT = layout()

cdef enum:
    WS_BYE_BYTES = 4  # header and code of a WebSocket close
    CLOSING_S = 5  # seconds for the last bytes to leave
    MADE_ROOM_PART = 64  # this part of those before login gives way at once, one at least
    LINGER_S = 2  # seconds for the peer to close after us: closing at once would reset what is still under way


cdef void preauth_drop(Loop* loop, Conn* c) noexcept nogil:
    preauth_leave(&loop.table, c)
    sodium.memzero(c.held, preauth_size(<PreAuth*>c.held))
    free(c.held)
    c.held = NULL
    stat_add(&loop.stats, L_PREAUTH, -1)


cdef void _release(Loop* loop, Conn* c) noexcept nogil:
    deadline_set(&loop.deadlines, slot_of(&loop.table, c), 0)
    if c.fd >= 0:
        close(c.fd)
    in_drop(&c.in_buf, &loop.stats)
    queue_clear(&loop.queues, &c.out, True)
    address_leave(&loop.engine.addresses, c.address_ref)
    if c.held != NULL:
        preauth_drop(loop, c)
    conn_release(&loop.table, c)


cdef bint conn_admit(Loop* loop, Conn* c) noexcept nogil:
    cdef int verdict = address_enter(&loop.engine.addresses, loop.now_ns, (<PreAuth*>c.held).ip, &c.address_ref)
    if verdict == ADDRESS_OK:
        return True
    if verdict == ADDRESS_TOO_MANY:
        stat_add(&loop.stats, N_REFUSED_IP_CONNECTIONS, 1)
    elif verdict == ADDRESS_TOO_FAST:
        stat_add(&loop.stats, N_REFUSED_IP_RATE, 1)
    else:
        stat_add(&loop.stats, N_REFUSED_NET64, 1)
    return False


cdef bint conn_let_in(Loop* loop, Conn* c, int visitor, Wait* wait) noexcept nogil:
    cdef int asker
    if c.flags & F_ADMITTED:
        return True
    if admission_take(&loop.engine.admission, visitor, (<PreAuth*>c.held).ip, loop.engine.seed, loop.now_ns, &asker):
        c.flags |= F_ADMITTED
        stat_add(&loop.stats, N_ADMITTED_NEW + visitor, 1)
        return True
    wait[0] = admission_wait(&loop.engine.admission, visitor, asker, loop.now_ns)
    stat_add(&loop.stats, N_DEFERRED_NEW + visitor, 1)
    return False


cdef bint _balancer(Loop* loop, const uint8_t* ip16) noexcept nogil:
    cdef uint32_t i, bits
    cdef uint8_t mask
    for i in range(loop.config.n_ranges):
        bits = loop.config.ranges[i].bits
        if memcmp(ip16, loop.config.ranges[i].ip, bits // 8) != 0:
            continue
        mask = <uint8_t>(0xFF00 >> (bits & 7))
        if bits & 7 == 0 or (ip16[bits // 8] & mask) == (loop.config.ranges[i].ip[bits // 8] & mask):
            return True
    return False


cdef void conn_open(Loop* loop, int fd, const uint8_t* ip16, uint16_t port) noexcept nogil:
    cdef Conn* c = conn_new(&loop.table)
    cdef PreAuth* pre
    if c == NULL:
        stat_add(&loop.stats, N_REFUSED_FULL, 1)
        close(fd)
        return
    c.fd = fd
    pre = <PreAuth*>calloc(1, sizeof(PreAuth))
    if pre == NULL:
        conn_release(&loop.table, c)
        close(fd)
        return
    c.held = pre
    preauth_enter(&loop.table, c)
    stat_add(&loop.stats, L_PREAUTH, 1)
    memcpy(pre.ip, ip16, IP_BYTES)
    pre.port = port
    if _balancer(loop, ip16):
        pre.is_ = IS_PROXIER
    c.timeout_s = <uint16_t>loop.config.auth_timeout_s
    # a balancer's connections are judged by the address its header names
    if (not pre.is_ & IS_PROXIER and not conn_admit(loop, c)) or poller_add(&loop.poller, c.fd, poll_id(&loop.table, c)) < 0:
        _release(loop, c)
        return
    qw_set_buffers(fd, loop.config.send_buffer, loop.config.receive_buffer)
    touch(loop, c)


cdef bint make_room(Loop* loop, bint slots) noexcept nogil:
    """No more than a part of those who wait, so that a few who are logging in just now are not ended together."""
    cdef uint64_t waiting = loop.stats.count[L_PREAUTH]
    cdef bint parked = slots and loop.table.parked > waiting
    cdef uint64_t left = 1 + (loop.table.parked if parked else waiting) // MADE_ROOM_PART
    cdef uint32_t slot = loop.table.parked_first if parked else loop.table.oldest
    cdef Conn* c
    if slot == NONE32:
        return False
    while left and slot != NONE32:
        c = &loop.table.conns[slot]
        slot = <uint32_t>c.rx.n if parked else (<PreAuth*>c.held).newer
        if c.state != DOOMED:
            doom_quiet(loop, c, R_PARK_ROOM if parked else R_MADE_ROOM, 0)
            left -= 1
    return True


# login ---------------------------------------------------------------------------------------------------------

cdef void _emit_closed(Loop* loop, uint64_t id, Session* s, int code) noexcept nogil:
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = session_user(s)
    strings[1] = session_device(s)
    sizes[0] = s.user_len
    sizes[1] = s.device_len
    event_push(&loop.events, EV_CLOSED, id, 0, <uint32_t>code, 0, 0, strings, sizes, 2)


cdef unsigned short interval_timeout(Loop* loop, unsigned long long interval_s) noexcept nogil:
    cdef uint64_t limit = loop.config.max_timeout_s
    cdef uint64_t timeout = limit
    if interval_s < limit:
        timeout = interval_s + (interval_s + 1) // 2 + loop.config.grace_s
    return <uint16_t>(timeout if timeout < limit else limit)


cdef void set_interval(Loop* loop, Conn* c, unsigned long long interval_s) noexcept nogil:
    c.timeout_s = interval_timeout(loop, interval_s)
    touch(loop, c)


cdef void login(Loop* loop, Conn* c, Session* s, SharedBuf* first, unsigned long long id, bint resumed, unsigned int seen) noexcept nogil:
    cdef Session* own
    if c == NULL or c.state != ASKED or resumed != (c.held != NULL):
        stat_add(&loop.stats, N_STALE_COMMANDS, 1)
        _emit_closed(loop, id, s, 0)
        user_missed(&loop.users, s)
        filter_leave(&loop.filter, s)
        free(s)
        buf_unref(first)
        return
    if c.held != NULL:
        preauth_drop(loop, c)
    own = session_settle(&loop.table, s)
    c.held = own
    if own == NULL or user_add(&loop.users, c) < 0:
        if own != NULL:
            session_free(&loop.table, c)
        filter_leave(&loop.filter, s)
        free(s)
        buf_unref(first)
        close_with(loop, c, R_MEMORY, CLOSE_OVERLOADED, NULL, 0)
        return
    free(s)
    s = own
    c.msgs_sent = seen
    bucket_fill(&s.inbound, &loop.config.inbound, loop.now_ns, s.inbound.tokens)
    key_begins(s, c.rx.n, loop.now_s)
    stat_add(&loop.stats, L_SESSIONS, 1)
    stat_add(&loop.stats, N_LOGINS, 1)
    conn_move(&loop.table, c, E_LOGIN)
    c.flags &= <uint16_t>~<unsigned int>F_REPORTED
    policies_enter(&loop.policies, &s.policy, &s.told, session_device(s), s.device_len)
    set_interval(loop, c, default_interval(&loop.policies))
    enqueue(loop, c, first)
    buf_unref(first)
    if s.until:
        ticket_give(loop, c)


cdef void _session_end(Loop* loop, Conn* c, int code) noexcept nogil:
    cdef Session* s = session_of(c)
    topics_leave_all(&loop.topics, c)
    policies_leave(&loop.policies, s.policy, s.told)
    user_remove(&loop.users, c)
    filter_leave(&loop.filter, s)
    _emit_closed(loop, conn_id(&loop.table, c), s, code)
    count_code(&loop.stats, code)
    unacked_clear(&s.unacked, &loop.stats)
    session_free(&loop.table, c)
    stat_add(&loop.stats, L_SESSIONS, -1)
    if c.flags & F_TOLD:
        stat_add(&loop.stats, L_TOLD, -1)


# end -----------------------------------------------------------------------------------------------------------

cdef int _ws_code(int code) noexcept nogil:
    """RFC 6455 codes for ours: the 4000 range is the application's, the rest is told as fits."""
    if code >= CLOSE_PROTOCOL_ERROR or code == WS_NORMAL or code == WS_GOING_AWAY:
        return code
    if code >= CLOSE_DRAINING:
        return WS_GOING_AWAY
    return WS_TRY_LATER if code >= CLOSE_OVERLOADED else WS_NORMAL


cdef void finish(Loop* loop, Conn* c) noexcept nogil:
    cdef uint8_t bye[WS_BYE_BYTES]
    if c.out != NULL or c.state != CLOSING:
        return
    if c.flags & F_WS:
        ws_header_put(bye, WS_CLOSE, sizeof(uint16_t))
        put_u16(bye + WS_BYE_BYTES - sizeof(uint16_t), <uint16_t>_ws_code(c.timeout_s))
        send_raw(loop, c, bye, WS_BYE_BYTES, False)
        if c.state != CLOSING:
            return
    qw_shutdown_write(c.fd)
    conn_move(&loop.table, c, E_SENT)
    deadline_cap(&loop.deadlines, slot_of(&loop.table, c), loop.now_s + LINGER_S)


cdef void _part(Loop* loop, Conn* c, int was, int code, const uint8_t* text, size_t n, bint forget) noexcept nogil:
    """The polite end of a connection with keys, whose session, if any, ends now."""
    cdef uint8_t head[UV_MAX]
    cdef SharedBuf* b
    if was == LIVE:
        _session_end(loop, c, code)
        deadline_set(&loop.deadlines, slot_of(&loop.table, c), loop.now_s + CLOSING_S)
    if forget:
        queue_clear(&loop.queues, &c.out, False)
    in_drop(&c.in_buf, &loop.stats)
    conn_move(&loop.table, c, E_PARDONED if c.state == DOOMED else E_ENDED)
    c.timeout_s = <uint16_t>code
    b = buf_frame(FRAME_CLOSE, head, <size_t>uv_put(head, <uint64_t>code), text, n, NULL, 0)
    if b != NULL:
        enqueue(loop, c, b)
        buf_unref(b)
    flush_conn(loop, c)
    if was != LIVE and c.out != NULL:
        doom_quiet(loop, c, R_CLOSE_STALLED, 0)
    finish(loop, c)


cdef void close_with(Loop* loop, Conn* c, int reason, int code, const uint8_t* text, size_t n) noexcept nogil:
    if state_in(c.state, KEYLESS):
        doom_quiet(loop, c, reason, code)
    elif c.state == PARKED:
        doom_quiet(loop, c, reason, code)
    elif state_in(c.state, KEYED):
        loop.stats.reasons[reason] += 1
        _part(loop, c, c.state, code, text, n, False)


cdef void _unpark_end(Loop* loop, Conn* c, const Doom* d) noexcept nogil:
    """Nobody is told but Python: there is no connection."""
    unpark(loop, c)
    if d.reason == R_PARK_OVER or d.reason == R_PARK_ROOM:
        stat_add(&loop.stats, N_PARKED_OVER, 1)
    _session_end(loop, c, d.code)
    _release(loop, c)


cdef void _count_death(Loop* loop, Conn* c, int reason) noexcept nogil:
    """The connection of a session ends, and nobody has said so."""
    cdef Session* s = session_of(c)
    if reason == R_IDLE:
        policies_died(&loop.policies, s.told, P_SILENT)
        event_push(&loop.events, EV_SILENT, conn_id(&loop.table, c), s.policy, c.timeout_s, 0, 0, NULL, NULL, 0)
    elif reason == R_PEER_RESET:
        policies_died(&loop.policies, s.told, P_RESET)
    elif reason == R_PEER_CLOSED:
        policies_died(&loop.policies, s.told, P_VANISHED)


cdef void reap(Loop* loop) noexcept nogil:
    cdef uint32_t i = 0
    cdef Doom d
    cdef Conn* c
    while i < loop.dooms.n:
        d = loop.dooms.at[i]
        i += 1
        c = &loop.table.conns[d.slot]
        if state_in(d.was, ENDING):
            _release(loop, c)
            continue
        if d.was == PARKED:
            _unpark_end(loop, c, &d)
            continue
        loop.stats.reasons[d.reason] += 1
        if d.was == LIVE:
            _count_death(loop, c, d.reason)
        if d.was == LIVE and may_park(loop, c, &d):
            park(loop, c, &d)
            continue
        if not d.quiet and state_in(d.was, KEYED) and not c.flags & F_LOST:
            _part(loop, c, d.was, d.code, NULL, 0, True)
            continue
        if d.was == LIVE:
            _session_end(loop, c, d.code)
        _release(loop, c)
    loop.dooms.n = 0


cdef void expire(Loop* loop, Conn* c) noexcept nogil:
    cdef Expiry* e = &expiry[c.state]
    if state_in(c.state, KEYED):
        doom(loop, c, e.reason, e.code)
    else:
        doom_quiet(loop, c, e.reason, e.code)


cdef void release_all(Loop* loop) noexcept nogil:
    cdef uint32_t slot
    cdef Conn* c
    reap(loop)
    for slot in range(loop.table.high):
        c = &loop.table.conns[slot]
        if c.state == FREE:
            continue
        if c.state == PARKED:
            unpark(loop, c)
            _session_end(loop, c, CLOSE_DRAINING)
        elif not state_in(c.state, DEAF):
            loop.stats.reasons[R_STOPPED] += 1
        if c.state == LIVE:
            _part(loop, c, LIVE, CLOSE_DRAINING, NULL, 0, False)
        _release(loop, c)
    loop.dooms.n = 0
