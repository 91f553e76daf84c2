from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from cmodules cimport layout
from crypto.aead cimport aead_tag_size
from crypto.noise cimport noise_respond
from crypto.sodium cimport sodium
from crypto.ticket cimport Ticket
from crypto.zstd cimport Dictionary
from frame.codes cimport MALFORMED, TOO_BIG
from frame.constants cimport (
    AUTH_TICKET,
    CLOSE_AUTH_FAILED,
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    FLAG_COMPRESSED,
    FLIGHT_RESUME_SEEN,
    FLIGHT_TICKET_AGE_MS,
    FRAME_ACK,
    FRAME_AUTH,
    HANDSHAKE_MIN,
    HANDSHAKE_PAYLOAD_MAX,
    PATTERN_NK,
    PATTERN_NKPSK0,
    PATTERN_NNPSK0,
    PREAMBLE_KNOWN,
    PREAMBLE_ZSTD,
    REJECT_BAD_VERSION,
    REJECT_OVERLOADED,
    REJECT_RESUME_LITE,
    REJECT_TICKET_REFUSED,
    REJECT_UNKNOWN_KEY,
    REJECT_UNSUPPORTED,
    TLV_DICTIONARY,
    TLV_NODE_NAME,
    TLV_SERVER_TIME_MS,
    TYPE_SKIPPABLE_FIRST,
    VERSION,
)
from frame.frames cimport AuthBody, auth_parse
from frame.names cimport id_valid
from frame.preamble cimport (
    REJECT_HEADER_BYTES,
    Flight,
    Preamble,
    Tlv,
    flight_parse,
    preamble_parse,
    reject_header_put,
    tlv_parse,
)
from frame.proxy cimport ProxyHeader, proxy_v2_parse
from frame.record cimport put_u16
from frame.varint cimport UV_MAX, uv_get, uv_put, uv_size
from gateway_core.conn.handing cimport hand_over, handed_flight, handed_open
from gateway_core.conn.resume cimport NO_AGE, claim_event, resume_begin
from gateway_core.conn.session cimport close_with, conn_admit, conn_let_in, finish, preauth_drop
from gateway_core.conn.states cimport (
    ASKED,
    DOOMED,
    E_ASKED,
    E_CLAIMED,
    E_ENDED,
    E_KEYED,
    E_QUEUED,
    SECURED,
    WAITING,
)
from gateway_core.conn.table cimport (
    F_PROXIED,
    F_ZSTD,
    HANDSHAKE_HASH,
    IS_PROXIER,
    Claim,
    PreAuth,
    claim_of,
    conn_find,
    conn_id,
    conn_move,
)
from gateway_core.conn.tickets cimport claim_keep, claim_proven, ticket_take
from gateway_core.conn.transport cimport doom_quiet, send_raw
from gateway_core.includes.cpu cimport qw_cycles
from gateway_core.includes.sys cimport IP_BYTES, PEER_TEXT_BYTES, qw_clock_ns, qw_peer_text, qw_wall_ms
from gateway_core.leaf.admission cimport KNOWN, NEWCOMER, Wait
from gateway_core.leaf.dictionaries cimport dictionary_sending
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_AUTH, EV_TICKET, event_push
from gateway_core.leaf.keys cimport KEY_SET_MAX, Ephemeral, StaticKey, ephemeral_take, key_find
from gateway_core.leaf.lists cimport ids_pop, ids_push
from gateway_core.leaf.stats cimport (
    N_EPHEMERALS_MADE_HOT,
    N_HANDSHAKES,
    N_HANDSHAKES_FAILED,
    N_REJECT_VERSION,
    N_TICKET_LOGINS,
    R_ACK,
    R_AUTH_BODY,
    R_BEFORE_AUTH,
    R_HANDSHAKE_FAILED,
    R_HANDSHAKE_LENGTH,
    R_MEMORY,
    R_PREAMBLE,
    R_PROXY_MALFORMED,
    R_PROXY_REFUSED,
    R_REJECTED,
    S_HANDSHAKE,
    stage_end,
    stat_add,
)
from gateway_core.net.in_buffer cimport IN_EXACT, in_data, in_done, in_replace

LAYOUT = layout()

cdef enum:
    RETRY_MS = 2000  # told to clients refused by a full queue, and as much jitter
    GREETING_BYTES = 128  # payload of message 2: time and node name

cdef struct Asked:  # by the fields of a message 1
    bint wants  # a session
    uint64_t seen
    uint64_t age_ms


cdef void _reject(Loop* loop, Conn* c, int code, const Wait* wait) noexcept nogil:
    cdef uint8_t out[REJECT_HEADER_BYTES + KEY_SET_MAX]
    cdef uint8_t times[2 * UV_MAX]
    cdef const uint8_t* data = NULL
    cdef size_t n = 0, m
    if code == REJECT_UNKNOWN_KEY:
        data = loop.keys.signed_set
        n = loop.keys.signed_len
    elif code == REJECT_OVERLOADED:
        data = times
        n = <size_t>uv_put(times, wait.retry_ms)
        n += <size_t>uv_put(times + n, wait.jitter_ms)
    m = reject_header_put(out, code, n)
    if n:
        memcpy(out + m, data, n)
    stat_add(&loop.stats, N_REJECT_VERSION + code - REJECT_BAD_VERSION, 1)
    loop.stats.reasons[R_REJECTED] += 1
    send_raw(loop, c, out, m + n, True)
    if conn_move(&loop.table, c, E_ENDED):
        c.timeout_s = CLOSE_NORMAL
        finish(loop, c)


cdef size_t _greeting(Loop* loop, uint8_t* out) noexcept nogil:
    """Payload of message 2: server time, node name and the dictionary that is used."""
    cdef const Dictionary* sending = dictionary_sending(&loop.dictionaries)
    cdef uint64_t ms = qw_wall_ms()
    cdef size_t n = 0
    n += uv_put(out + n, TLV_SERVER_TIME_MS)
    n += uv_put(out + n, uv_size(ms))
    n += uv_put(out + n, ms)
    n += uv_put(out + n, TLV_NODE_NAME)
    n += uv_put(out + n, loop.config.node_len)
    memcpy(out + n, loop.config.node, loop.config.node_len)
    n += loop.config.node_len
    if sending != NULL:
        n += uv_put(out + n, TLV_DICTIONARY)
        n += uv_put(out + n, uv_size(sending.id))
        n += uv_put(out + n, sending.id)
    return n


cdef bint _number(const Tlv* field, uint64_t* out) noexcept nogil:
    return uv_get(field.value, field.value_len, out) == <int>field.value_len and field.value_len != 0


cdef bint _fields(const uint8_t* p, size_t n, Asked* asked) noexcept nogil:
    """The payload of message 1: whole fields, those of a ticket among them. 0: malformed."""
    cdef Tlv field
    cdef ptrdiff_t used
    cdef size_t at = 0
    asked.wants = False
    asked.age_ms = NO_AGE
    while at < n:
        used = tlv_parse(p + at, n - at, &field)
        if used <= 0:
            return False
        at += <size_t>used
        if field.tag == FLIGHT_RESUME_SEEN:
            asked.wants = True
            if not _number(&field, &asked.seen):
                return False
        elif field.tag == FLIGHT_TICKET_AGE_MS and not _number(&field, &asked.age_ms):
            return False
    return True


cdef void _claimed(Loop* loop, Conn* c, const Flight* f, const Ticket* t, const Asked* asked, const uint8_t* answer,
                   size_t n) noexcept nogil:
    """The handshake with a ticket is done: a session is asked for, or a login will be."""
    cdef Claim* k
    if claim_keep(loop, c, t) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)
        return
    k = claim_of(c)
    k.wants = asked.wants
    if not asked.wants:
        conn_move(&loop.table, c, E_KEYED)
        send_raw(loop, c, answer, n, True)
        return
    k.seen = <uint32_t>min(asked.seen, <uint64_t>0xFFFFFFFF)
    conn_move(&loop.table, c, E_CLAIMED)
    resume_begin(loop, c, answer, n, asked.age_ms, f.message, f.message_len)


cdef void _handshake(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    """`p`: a whole first flight that was judged when it came."""
    cdef Flight f
    cdef Ticket t
    if flight_parse(p, n, &f) <= 0:
        doom_quiet(loop, c, R_HANDSHAKE_FAILED, 0)
        return
    if f.ticket != NULL and ticket_take(loop, f.ticket, f.ticket_len, &t) < 0:
        _reject(loop, c, REJECT_TICKET_REFUSED, NULL)
        return
    _respond(loop, c, p, &f, &t)
    if f.ticket != NULL:
        sodium.memzero(&t, sizeof(Ticket))


cdef void _respond(Loop* loop, Conn* c, const uint8_t* p, const Flight* f, const Ticket* t) noexcept nogil:
    cdef uint8_t payload1[HANDSHAKE_PAYLOAD_MAX]
    cdef uint8_t payload2[GREETING_BYTES]
    cdef uint8_t answer[2 + HANDSHAKE_MIN + GREETING_BYTES]
    cdef Ephemeral e
    cdef size_t got = 0, m
    cdef int length
    cdef uint64_t began = qw_cycles()
    cdef StaticKey* key = NULL
    cdef Asked asked
    if f.preamble.pattern != PATTERN_NNPSK0:
        key = key_find(&loop.keys, f.preamble.key_id)
    if key == NULL and f.preamble.pattern != PATTERN_NNPSK0:  # rotated away while this one waited
        _reject(loop, c, REJECT_UNKNOWN_KEY, NULL)
        return
    if not ephemeral_take(&loop.ephemerals, &e):
        stat_add(&loop.stats, N_EPHEMERALS_MADE_HOT, 1)
    m = _greeting(loop, payload2)
    length = noise_respond(
        f.preamble.pattern, f.preamble.suite, p, f.prologue_len, key.priv if key != NULL else NULL,
        key.pub if key != NULL else NULL, t.psk if f.ticket != NULL else NULL, e.priv, e.pub, f.message, f.message_len,
        payload1, &got, payload2, m, answer + 2, &c.rx, &c.tx, (<PreAuth*>c.held).hash,
    )
    sodium.memzero(&e, sizeof(Ephemeral))
    if length < 0 or not _fields(payload1, got, &asked):
        stat_add(&loop.stats, N_HANDSHAKES_FAILED, 1)
        doom_quiet(loop, c, R_HANDSHAKE_FAILED, 0)
        return
    put_u16(answer, <uint16_t>length)
    c.suite = f.preamble.suite
    c.tx_tick = loop.now_tick
    if f.preamble.flags & PREAMBLE_ZSTD and loop.config.compress:
        c.flags |= F_ZSTD
    stat_add(&loop.stats, N_HANDSHAKES, 1)
    if f.ticket != NULL:
        _claimed(loop, c, f, t, &asked, answer, 2 + <size_t>length)
    else:
        conn_move(&loop.table, c, E_KEYED)
        send_raw(loop, c, answer, 2 + <size_t>length, True)
    stage_end(&loop.stats, S_HANDSHAKE, began, 1)


cdef int _handshake_later(Loop* loop, Conn* c) noexcept nogil:
    if not ids_push(&loop.waiting, conn_id(&loop.table, c)):
        return -1
    conn_move(&loop.table, c, E_QUEUED)
    return 0


cdef void handshake_waiting(Loop* loop) noexcept nogil:
    cdef Conn* c
    cdef uint64_t until
    if loop.waiting.count == 0:
        return
    # a budget of its own: reads that took long must not starve those who wait
    until = qw_clock_ns(0) + <uint64_t>loop.config.handshake_budget_us * 1000
    while loop.waiting.count and qw_clock_ns(0) < until:
        c = conn_find(&loop.table, ids_pop(&loop.waiting))
        if c != NULL and c.state == WAITING and c.in_buf != NULL:
            _handshake(loop, c, in_data(c.in_buf), c.in_buf.len)
            in_done(&c.in_buf, &loop.stats)


cdef ptrdiff_t proxy(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>c.held
    cdef ProxyHeader h
    cdef ptrdiff_t used
    if not pre.is_ & IS_PROXIER or c.flags & F_PROXIED:
        doom_quiet(loop, c, R_PROXY_REFUSED, 0)
        return -1
    used = proxy_v2_parse(p, n, &h)
    if used < 0:
        doom_quiet(loop, c, R_PROXY_MALFORMED, 0)
        return -1
    if used == 0:
        return 0
    c.flags |= F_PROXIED
    if h.family == 4:
        memcpy(pre.ip + 12, h.source, 4)
        pre.ip[10] = 0xFF
        pre.ip[11] = 0xFF
        for i in range(10):
            pre.ip[i] = 0
    elif h.family == 6:
        memcpy(pre.ip, h.source, IP_BYTES)
    if h.family:
        pre.port = h.source_port
        if not conn_admit(loop, c):
            doom_quiet(loop, c, R_PROXY_REFUSED, 0)
            return -1
    return used


cdef int _judge_preamble(Loop* loop, const Preamble* pre) noexcept nogil:
    """0, or the REJECT code."""
    if pre.version != VERSION:
        return REJECT_BAD_VERSION
    if pre.flags & ~<int>(PREAMBLE_ZSTD | PREAMBLE_KNOWN) or aead_tag_size(pre.suite) < 0:
        return REJECT_UNSUPPORTED
    if pre.pattern == PATTERN_NNPSK0:
        return 0 if loop.tickets.n and loop.config.lite_queue and pre.key_id == 0 else REJECT_UNSUPPORTED
    if pre.pattern != PATTERN_NK and (pre.pattern != PATTERN_NKPSK0 or loop.tickets.n == 0):
        return REJECT_UNSUPPORTED
    if pre.pattern == PATTERN_NKPSK0 and loop.config.lite_queue and loop.waiting.count >= loop.config.lite_queue:
        return REJECT_RESUME_LITE
    return 0 if key_find(&loop.keys, pre.key_id) != NULL else REJECT_UNKNOWN_KEY


cdef ptrdiff_t hello(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef Preamble pre
    cdef Flight f
    cdef Ticket t
    cdef ptrdiff_t used = preamble_parse(p, n, &pre)
    cdef Wait wait
    cdef int code
    if used < 0:
        doom_quiet(loop, c, R_PREAMBLE, 0)
        return -1
    if used == 0:
        return 0
    code = _judge_preamble(loop, &pre)
    if code:
        _reject(loop, c, code, NULL)
        return -1
    used = flight_parse(p, n, &f)
    if used == MALFORMED or used == TOO_BIG:
        doom_quiet(loop, c, R_HANDSHAKE_LENGTH, 0)
        return -1
    if used == 0:
        return 0
    if n > <size_t>used:  # nothing can follow before our answer
        doom_quiet(loop, c, R_BEFORE_AUTH, 0)
        return -1
    if not conn_let_in(loop, c, KNOWN if pre.flags & PREAMBLE_KNOWN or f.ticket != NULL else NEWCOMER, &wait):
        _reject(loop, c, REJECT_OVERLOADED, &wait)
        return -1
    if f.ticket != NULL:
        if ticket_take(loop, f.ticket, f.ticket_len, &t) < 0:
            _reject(loop, c, REJECT_TICKET_REFUSED, NULL)
            return -1
        if hand_over(loop, c, &t, p, n):
            sodium.memzero(&t, sizeof(Ticket))
            return -1
    if loop.waiting.count == 0 and qw_clock_ns(0) < loop.handshake_until_ns:
        _respond(loop, c, p, &f, &t)
        if f.ticket != NULL:
            sodium.memzero(&t, sizeof(Ticket))
        return -1 if c.state == DOOMED else <ptrdiff_t>n
    if f.ticket != NULL:
        sodium.memzero(&t, sizeof(Ticket))
    if _handshake_later(loop, c) < 0:
        wait.retry_ms = wait.jitter_ms = RETRY_MS
        _reject(loop, c, REJECT_OVERLOADED, &wait)
        return -1
    return 0


cdef void flight_handed(Loop* loop, Handed* h) noexcept nogil:
    cdef Conn* c = handed_open(loop, h)
    if c != NULL and hello(loop, c, handed_flight(h), h.n) == 0 and c.state == WAITING:
        if in_replace(&c.in_buf, &loop.stats, handed_flight(h), h.n, 0, IN_EXACT) < 0:
            doom_quiet(loop, c, R_MEMORY, 0)
    free(h)


cdef void _auth_ticket(Loop* loop, Conn* c, const AuthBody* a) noexcept nogil:
    """A login by ticket: who it is was established when the ticket was given."""
    cdef Claim* k = claim_of(c)
    if k == NULL or a.token_len:
        doom_quiet(loop, c, R_AUTH_BODY, CLOSE_PROTOCOL_ERROR)
        return
    if not claim_proven(k, (<PreAuth*>c.held).hash, a.binding, a.binding_len):
        close_with(loop, c, R_AUTH_BODY, CLOSE_AUTH_FAILED, NULL, 0)
        return
    conn_move(&loop.table, c, E_ASKED)
    stat_add(&loop.stats, N_TICKET_LOGINS, 1)
    if claim_event(loop, c, EV_TICKET) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)
    preauth_drop(loop, c)


cdef void _auth(Loop* loop, Conn* c, const Frame* f) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>c.held
    cdef AuthBody a
    cdef char peer[PEER_TEXT_BYTES]
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    if not f.flags & FLAG_COMPRESSED and auth_parse(f.body, f.body_len, &a) > 0 and a.kind == AUTH_TICKET:
        _auth_ticket(loop, c, &a)
        return
    if f.flags & FLAG_COMPRESSED or auth_parse(f.body, f.body_len, &a) < 0 or not id_valid(a.device, a.device_len):
        doom_quiet(loop, c, R_AUTH_BODY, CLOSE_PROTOCOL_ERROR)
        return
    strings[0] = pre.hash
    sizes[0] = HANDSHAKE_HASH
    strings[1] = a.token
    sizes[1] = <uint32_t>a.token_len
    strings[2] = a.binding
    sizes[2] = <uint32_t>a.binding_len
    strings[3] = a.device
    sizes[3] = <uint32_t>a.device_len
    strings[4] = peer
    sizes[4] = <uint32_t>qw_peer_text(pre.ip, pre.port, peer)
    conn_move(&loop.table, c, E_ASKED)
    if event_push(
        &loop.events, EV_AUTH, conn_id(&loop.table, c), c.in_buf != NULL and c.in_buf.websocket, c.suite, a.kind,
        a.platform, strings, sizes, EVENT_STRINGS,
    ) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)
    preauth_drop(loop, c)  # the event has a copy


cdef void early_frame(Loop* loop, Conn* c, const Frame* f) noexcept nogil:
    if f.type == FRAME_ACK and c.state == SECURED and claim_of(c) != NULL:
        return  # it crossed our RESUME_FAIL
    if f.ack:  # of a MSG that nobody sent
        doom_quiet(loop, c, R_ACK, CLOSE_PROTOCOL_ERROR)
    elif f.type == FRAME_AUTH and c.state == SECURED:
        _auth(loop, c, f)
    elif c.state != ASKED or f.type < TYPE_SKIPPABLE_FIRST:
        doom_quiet(loop, c, R_BEFORE_AUTH, CLOSE_PROTOCOL_ERROR)
