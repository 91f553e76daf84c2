from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from cmodules cimport layout
from crypto.aead cimport aead_tag_size
from crypto.sodium cimport sodium
from crypto.ticket cimport Ticket
from frame.codes cimport MALFORMED, TOO_BIG
from frame.constants cimport (
    AUTH_TICKET,
    CLOSE_AUTH_FAILED,
    CLOSE_PROTOCOL_ERROR,
    FLAG_COMPRESSED,
    FRAME_ACK,
    FRAME_AUTH,
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
    TYPE_SKIPPABLE_FIRST,
    VERSION,
)
from frame.frames cimport AuthBody, auth_parse
from frame.names cimport id_valid
from frame.preamble cimport Flight, Preamble, flight_parse, preamble_parse
from frame.proxy cimport ProxyHeader, proxy_v2_parse
from gateway_core.conn.answering cimport reject
from gateway_core.conn.handing cimport hand_over, handed_flight, handed_open
from gateway_core.conn.resume cimport claim_event
from gateway_core.conn.session cimport close_with, conn_admit, conn_let_in, preauth_drop
from gateway_core.conn.states cimport ASKED, E_ASKED, E_QUEUED, SECURED, WAITING
from gateway_core.conn.table cimport (
    F_PROXIED,
    HANDSHAKE_HASH,
    IS_PROXIER,
    Claim,
    PreAuth,
    claim_of,
    conn_id,
    conn_move,
)
from gateway_core.conn.tickets cimport claim_proven, ticket_take
from gateway_core.conn.transport cimport doom_quiet
from gateway_core.includes.sys cimport IP_BYTES, PEER_TEXT_BYTES, qw_peer_text
from gateway_core.leaf.admission cimport KNOWN, NEWCOMER, Wait
from gateway_core.leaf.events cimport ASKS_NO_TICKETS, ASKS_WEBSOCKET, EVENT_STRINGS, EV_AUTH, EV_TICKET, event_push
from gateway_core.leaf.keys cimport key_find
from gateway_core.leaf.lists cimport ids_push
from gateway_core.leaf.stats cimport (
    N_TICKET_LOGINS,
    R_ACK,
    R_AUTH_BODY,
    R_BEFORE_AUTH,
    R_HANDSHAKE_LENGTH,
    R_MEMORY,
    R_PREAMBLE,
    R_PROXY_MALFORMED,
    R_PROXY_REFUSED,
    stat_add,
)
from gateway_core.net.in_buffer cimport IN_EXACT, in_replace

LAYOUT = layout()

cdef enum:
    RETRY_MS = 2000  # told to clients refused by a full queue, and as much jitter



cdef int _handshake_later(Loop* loop, Conn* c) noexcept nogil:
    if not ids_push(&loop.waiting, conn_id(&loop.table, c)):
        return -1
    conn_move(&loop.table, c, E_QUEUED)
    return 0


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
    cdef bint handed
    cdef int code
    if used < 0:
        doom_quiet(loop, c, R_PREAMBLE, 0)
        return -1
    if used == 0:
        return 0
    code = _judge_preamble(loop, &pre)
    if code:
        reject(loop, c, code, NULL)
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
        reject(loop, c, REJECT_OVERLOADED, &wait)
        return -1
    if f.ticket != NULL and loop.engine.n_loops > 1:  # else it is opened when its turn comes
        if ticket_take(loop, f.ticket, f.ticket_len, &t) < 0:
            reject(loop, c, REJECT_TICKET_REFUSED, NULL)
            return -1
        handed = hand_over(loop, c, &t, p, n)
        sodium.memzero(&t, sizeof(Ticket))
        if handed:
            return -1
    if _handshake_later(loop, c) < 0:
        wait.retry_ms = wait.jitter_ms = RETRY_MS
        reject(loop, c, REJECT_OVERLOADED, &wait)
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
    cdef uint64_t flags = 0
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
    if c.in_buf != NULL and c.in_buf.websocket:
        flags |= ASKS_WEBSOCKET
    if a.declines:
        flags |= ASKS_NO_TICKETS
    conn_move(&loop.table, c, E_ASKED)
    if event_push(
        &loop.events, EV_AUTH, conn_id(&loop.table, c), flags, c.suite, a.kind,
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
