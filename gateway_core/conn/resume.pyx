from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from cmodules cimport layout
from crypto.aead cimport CipherState
from frame.constants cimport (
    CLOSE_NORMAL,
    CLOSE_SUPERSEDED,
    EVENT_SYNC,
    FRAME_EVENT,
    FRAME_RESUME_FAIL,
    FRAME_RESUME_OK,
    RESUME_EPOCH,
    RESUME_EXPIRED,
    RESUME_OVERFLOW,
    RESUME_REVOKED,
    RESUMED_EVENTS_LOST,
    RESUMED_ROOMS_LEFT,
    TICKET_FRESH_MS,
)
from frame.varint cimport UV_MAX, uv_put
from gateway_core.conn.parking cimport output_lost, unpark
from gateway_core.conn.session cimport close_with, reap, set_interval
from gateway_core.conn.states cimport ASKED, DOOMED, E_ASKED, E_DENIED, E_ENDED, E_RESUMED, HELD, PARKED, state_in
from gateway_core.conn.table cimport (
    F_AGED,
    F_BLOCKED,
    F_LEFT,
    F_MISSED,
    F_OVERDUE,
    F_PAUSED,
    F_REPORTED,
    F_SYNC_DUE,
    F_TOLD,
    F_TRANSPORT,
    F_WS,
    Claim,
    PreAuth,
    Session,
    claim_device,
    claim_of,
    claim_user,
    conn_find,
    conn_id,
    conn_move,
    key_begins,
    poll_id,
    session_device,
    session_of,
    session_user,
)
from gateway_core.conn.tickets cimport claim_drop, ticket_give, wall_s
from gateway_core.conn.transport cimport doom, doom_quiet, enqueue_again, enqueue_frame, flush_behind
from gateway_core.includes.sys cimport PEER_TEXT_BYTES, qw_peer_text
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_ELSEWHERE, EV_RESUMED, EV_TAKEN, event_push
from gateway_core.leaf.policies cimport told_interval
from gateway_core.leaf.replay_filter cimport replay_seen
from gateway_core.leaf.ring cimport Unacked, unacked_get, unacked_reaches
from gateway_core.leaf.shared_buf cimport SharedBuf, buf_data
from gateway_core.leaf.stats cimport (
    L_TOLD,
    N_REPLAYS,
    N_RESUMED,
    N_RESUMED_EARLY,
    N_RESUMED_LATE,
    N_RESUME_EPOCH,
    N_STALE_COMMANDS,
    R_MEMORY,
    R_REPLACED,
    R_RESUME_LOST,
    R_TAKEN,
    stat_add,
)
from gateway_core.net.in_buffer cimport InBuf
from gateway_core.net.out_queue cimport OutQueue, queue_clear
from gateway_core.net.poller cimport poller_skip, poller_want

LAYOUT = layout()

NO_AGE = ~<uint64_t>0

cdef enum:
    EARLY_BYTES = 12288  # of plaintext before the peer has proven itself: it fits the first window of a new connection
    AGE_SLACK_MS = 1000  # tickets say their time in seconds
    MS = 1000
    SYNC_NIL_BYTES = 4
    REASON_BYTES = 256  # of a RESUME_FAIL, its text may be cut


cdef Conn* _held(Loop* loop, uint64_t conn) noexcept nogil:
    """Its slot, when the generation holds. Where it was judged in this tick the verdict is carried out first: a session
    that lost its connection a moment ago is one that waits."""
    cdef Conn* c = conn_find(&loop.table, conn)
    if c == NULL or c.state != DOOMED:
        return c
    reap(loop)
    return conn_find(&loop.table, conn)


cdef int _find(Loop* loop, const Claim* k, Conn** found) noexcept nogil:
    """The session of a ticket of this node: 0, or the reason why it cannot be had."""
    cdef Conn* c
    cdef Session* s
    if k.epoch != loop.engine.epoch:
        return RESUME_EPOCH
    c = _held(loop, k.conn)
    if c == NULL or not state_in(c.state, HELD):
        return RESUME_EXPIRED
    s = session_of(c)
    if s.id != k.session or <uint8_t>(k.serial - s.floor) >= 128:
        return RESUME_EXPIRED
    if s.user_len != k.user_len or memcmp(session_user(s), claim_user(<Claim*>k), k.user_len) != 0:
        return RESUME_EXPIRED
    if s.device_len != k.device_len or memcmp(session_device(s), claim_device(<Claim*>k), k.device_len) != 0:
        return RESUME_EXPIRED
    if not unacked_reaches(s.unacked, k.seen, c.msgs_sent):
        return RESUME_OVERFLOW
    found[0] = c
    return 0


cdef int _flags(Conn* s) noexcept nogil:
    """What RESUME_OK says of a session: the older connection may not have delivered its last events."""
    cdef bint missed = s.flags & F_MISSED or (s.state != PARKED and output_lost(s))
    return (RESUMED_EVENTS_LOST if missed else 0) | (RESUMED_ROOMS_LEFT if s.flags & F_LEFT else 0)


cdef void _say_ok(Loop* loop, Conn* to, Conn* s, uint32_t seen, int flags) noexcept nogil:
    cdef uint8_t body[2 * UV_MAX + 1]
    cdef size_t n = <size_t>uv_put(body, <uint64_t>seen + 1)
    n += <size_t>uv_put(body + n, s.msgs_sent)
    body[n] = <uint8_t>flags
    enqueue_frame(loop, to, FRAME_RESUME_OK, body, n + 1)


cdef uint32_t _replay(Loop* loop, Conn* to, Conn* s, uint32_t sent, uint32_t most_bytes) noexcept nogil:
    """The frames behind `sent`, as many as fit; the number of the last of them."""
    cdef Unacked* u = session_of(s).unacked
    cdef SharedBuf* b
    while sent < s.msgs_sent:
        b = unacked_get(u, sent + 1)
        if b.size > most_bytes:
            break
        most_bytes -= b.size
        enqueue_again(loop, to, b)
        sent += 1
    return sent


cdef bint _fresh(Loop* loop, const Claim* k, uint64_t age_ms, const uint8_t* message, size_t m) noexcept nogil:
    cdef uint64_t age = <uint64_t>(wall_s() - min(k.issued_s, wall_s())) * MS
    if age_ms == NO_AGE or max(age, age_ms) - min(age, age_ms) > TICKET_FRESH_MS + AGE_SLACK_MS:
        return False
    if replay_seen(&loop.replays, message, m, loop.now_ns):
        stat_add(&loop.stats, N_REPLAYS, 1)
        return False
    return True


cdef void resume_deny(Loop* loop, Conn* c, int reason, const uint8_t* text, size_t n) noexcept nogil:
    cdef uint8_t body[REASON_BYTES]
    n = min(n, sizeof(body) - 1)
    body[0] = <uint8_t>reason
    if n:
        memcpy(body + 1, text, n)
    stat_add(&loop.stats, N_RESUME_EPOCH + reason - RESUME_EPOCH, 1)
    if reason == RESUME_REVOKED:
        claim_drop(c)
    else:
        claim_of(c).wants = 0
    conn_move(&loop.table, c, E_DENIED)
    enqueue_frame(loop, c, FRAME_RESUME_FAIL, body, n + 1)


cdef void resume_begin(Loop* loop, Conn* c, const uint8_t* answer, size_t n, uint64_t age_ms, const uint8_t* message,
                       size_t m) noexcept nogil:
    cdef Claim* k = claim_of(c)
    cdef Conn* s = NULL
    cdef int reason
    if k.node == loop.node_id:
        reason = _find(loop, k, &s)
        if reason:
            resume_deny(loop, c, reason, NULL, 0)
        elif _fresh(loop, k, age_ms, message, m):
            k.flags = <uint8_t>_flags(s)
            _say_ok(loop, c, s, k.seen, k.flags)
            k.sent = _replay(loop, c, s, k.seen, EARLY_BYTES)
            k.told = 1
    flush_behind(loop, c, answer, n)


# the first record ----------------------------------------------------------------------------------------------

cdef void _swap(Loop* loop, Conn* s, Conn* c) noexcept nogil:
    """Sockets, keys, counters and buffers change places; what is of the session and of the slot stays."""
    cdef CipherState key
    cdef OutQueue* out = s.out
    cdef InBuf* held = s.in_buf
    cdef int fd = s.fd
    cdef uint32_t ref = s.address_ref
    cdef uint16_t tick = s.tx_tick
    cdef uint16_t mine = s.flags & F_TRANSPORT, theirs = c.flags & F_TRANSPORT
    cdef uint8_t suite = s.suite
    key = s.tx
    s.tx = c.tx
    c.tx = key
    key = s.rx
    s.rx = c.rx
    c.rx = key
    s.out, c.out = c.out, out
    s.in_buf, c.in_buf = c.in_buf, held
    s.fd, c.fd = c.fd, fd
    s.address_ref, c.address_ref = c.address_ref, ref
    s.tx_tick, c.tx_tick = c.tx_tick, tick
    s.suite, c.suite = c.suite, suite
    s.flags = <uint16_t>((s.flags & ~<unsigned int>F_TRANSPORT) | theirs)
    c.flags = <uint16_t>((c.flags & ~<unsigned int>F_TRANSPORT) | (mine & ~<unsigned int>F_PAUSED))
    poller_skip(&loop.poller, poll_id(&loop.table, s))
    poller_skip(&loop.poller, poll_id(&loop.table, c))
    poller_want(&loop.poller, s.fd, poll_id(&loop.table, s), True, (s.flags & F_BLOCKED) != 0)


cdef void _let_go(Loop* loop, Conn* c) noexcept nogil:
    """The slot that was left over: with the older connection, or with none."""
    if c.fd < 0:
        conn_move(&loop.table, c, E_ENDED)
        doom_quiet(loop, c, R_REPLACED, 0)
        return
    poller_want(&loop.poller, c.fd, poll_id(&loop.table, c), True, (c.flags & F_BLOCKED) != 0)
    queue_clear(&loop.queues, &c.out, False)
    close_with(loop, c, R_REPLACED, CLOSE_SUPERSEDED, NULL, 0)


cdef void _tell_resumed(Loop* loop, Conn* s, bint parked, const PreAuth* pre) noexcept nogil:
    cdef Session* mine = session_of(s)
    cdef char peer[PEER_TEXT_BYTES]
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = session_user(mine)
    strings[1] = session_device(mine)
    strings[2] = peer
    sizes[0] = mine.user_len
    sizes[1] = mine.device_len
    sizes[2] = <uint32_t>qw_peer_text(pre.ip, pre.port, peer)
    event_push(&loop.events, EV_RESUMED, conn_id(&loop.table, s), 0, 0, parked, (s.flags & F_WS) != 0, strings, sizes, 3)


cdef void _say_sync(Loop* loop, Conn* s) noexcept nogil:
    cdef uint8_t body[SYNC_NIL_BYTES]
    body[0] = EVENT_SYNC
    body[1] = 0x92  # [nil, 0]
    body[2] = 0xC0
    body[3] = 0
    enqueue_frame(loop, s, FRAME_EVENT, body, SYNC_NIL_BYTES)


cdef Conn* _take_over(Loop* loop, Conn* c, Conn* s) noexcept nogil:
    cdef Claim* k = claim_of(c)
    cdef Session* mine = session_of(s)
    cdef bint parked = s.state == PARKED, told = k.told
    cdef uint32_t sent = k.sent if told else k.seen, seen = k.seen
    cdef uint8_t early = k.flags
    cdef int flags = _flags(s)  # of the older connection, before it goes
    if parked:
        unpark(loop, s)
        conn_move(&loop.table, s, E_RESUMED)
    mine.floor = k.serial
    mine.life += 1
    _swap(loop, s, c)
    _tell_resumed(loop, s, parked, <PreAuth*>c.held)
    _let_go(loop, c)
    if s.flags & F_TOLD:
        stat_add(&loop.stats, L_TOLD, -1)
    key_begins(mine, s.rx.n, loop.now_s)
    set_interval(loop, s, told_interval(&loop.policies, mine.told))
    if not told:
        _say_ok(loop, s, s, seen, flags)
    _replay(loop, s, s, sent, ~<uint32_t>0)
    if s.flags & F_SYNC_DUE or (told and flags & ~<int>early):  # what was lost since the answer left is said so
        _say_sync(loop, s)
    s.flags &= <uint16_t>~<unsigned int>(F_TOLD | F_OVERDUE | F_AGED | F_MISSED | F_SYNC_DUE | F_LEFT | F_REPORTED)
    ticket_give(loop, s)
    stat_add(&loop.stats, N_RESUMED, 1)
    stat_add(&loop.stats, N_RESUMED_EARLY if told else N_RESUMED_LATE, 1)
    return s


cdef Conn* resume_take(Loop* loop, Conn* c) noexcept nogil:
    cdef Claim* k = claim_of(c)
    cdef Conn* s = NULL
    cdef int reason
    if k.node != loop.node_id:
        conn_move(&loop.table, c, E_ASKED)
        if claim_event(loop, c, EV_ELSEWHERE) < 0:
            doom_quiet(loop, c, R_MEMORY, 0)
        return NULL
    reason = _find(loop, k, &s)
    if not reason and k.told and not unacked_reaches(session_of(s).unacked, k.sent, s.msgs_sent):
        reason = RESUME_OVERFLOW
    if reason and k.told:  # it was promised, and has ended since
        doom(loop, c, R_RESUME_LOST, CLOSE_NORMAL)
        return NULL
    if reason:
        resume_deny(loop, c, reason, NULL, 0)
        return NULL
    return _take_over(loop, c, s)


cdef int claim_event(Loop* loop, Conn* c, int kind) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>c.held
    cdef Claim* k = claim_of(c)
    cdef ClaimFacts facts
    cdef char peer[PEER_TEXT_BYTES]
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    facts.session = k.session
    facts.epoch = k.epoch
    facts.conn = k.conn
    facts.rev = k.rev
    facts.until_s = k.until_s
    facts.issued_s = k.issued_s
    facts.seen = k.seen
    facts.node = k.node
    facts.platform = k.platform
    facts.websocket = (c.flags & F_WS) != 0
    strings[0] = claim_user(k)
    strings[1] = claim_device(k)
    strings[2] = peer
    strings[3] = &facts
    sizes[0] = k.user_len
    sizes[1] = k.device_len
    sizes[2] = <uint32_t>qw_peer_text(pre.ip, pre.port, peer)
    sizes[3] = sizeof(facts)
    return event_push(&loop.events, kind, conn_id(&loop.table, c), 0, c.suite, 0, 0, strings, sizes, 4)


# other nodes ---------------------------------------------------------------------------------------------------

cdef void resume_refused(Loop* loop, Conn* c, int reason, const uint8_t* text, size_t n) noexcept nogil:
    if c == NULL or c.state != ASKED or c.held == NULL:
        stat_add(&loop.stats, N_STALE_COMMANDS, 1)
    else:
        resume_deny(loop, c, reason, text, n)


cdef size_t _bodies(Conn* s, uint32_t seen, uint8_t* out) noexcept nogil:
    """(uv length, body) of each MSG behind `seen`; their bytes. `out` NULL: how much room they take at most."""
    cdef Unacked* u = session_of(s).unacked
    cdef SharedBuf* b
    cdef size_t n = 0, size
    while seen < s.msgs_sent:
        seen += 1
        b = unacked_get(u, seen)
        size = b.size - b.body_at
        if out == NULL:
            n += UV_MAX + size
            continue
        n += <size_t>uv_put(out + n, size)
        memcpy(out + n, buf_data(b) + b.body_at, size)
        n += size
    return n


cdef void _tell_taken(Loop* loop, uint64_t conn, uint64_t token, int reason, int flags, const uint8_t* p, size_t n) noexcept nogil:
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = p
    sizes[0] = <uint32_t>n
    event_push(&loop.events, EV_TAKEN, conn, token, 0, reason, flags, strings, sizes, 1)


cdef void session_take(Loop* loop, uint64_t conn, const TakeAsk* ask) noexcept nogil:
    cdef Conn* c = _held(loop, conn)
    cdef int reason = 0
    cdef uint8_t* out = NULL
    if ask.epoch != loop.engine.epoch:
        reason = RESUME_EPOCH
    elif c == NULL or not state_in(c.state, HELD) or session_of(c).id != ask.session:
        reason = RESUME_EXPIRED
    elif not unacked_reaches(session_of(c).unacked, ask.seen, c.msgs_sent):
        reason = RESUME_OVERFLOW
    else:
        out = <uint8_t*>malloc(_bodies(c, <uint32_t>ask.seen, NULL) + 1)
        if out == NULL:
            reason = RESUME_OVERFLOW
    if reason:
        _tell_taken(loop, conn, ask.token, reason, 0, NULL, 0)
        return
    _tell_taken(loop, conn, ask.token, 0, _flags(c), out, _bodies(c, <uint32_t>ask.seen, out))
    free(out)
    close_with(loop, c, R_TAKEN, CLOSE_SUPERSEDED, NULL, 0)
