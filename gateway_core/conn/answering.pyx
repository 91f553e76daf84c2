from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from cmodules cimport layout
from crypto.handshake cimport Shared
from crypto.noise cimport noise_respond
from crypto.sodium cimport sodium
from crypto.ticket cimport Ticket
from crypto.x25519 cimport X25519_BYTES, X25519_LANES, X25519Batch, x25519_put, x25519_run, x25519_wipe
from crypto.zstd cimport Dictionary
from frame.constants cimport (
    CLOSE_NORMAL,
    FLIGHT_RESUME_SEEN,
    FLIGHT_TICKET_AGE_MS,
    HANDSHAKE_MIN,
    HANDSHAKE_PAYLOAD_MAX,
    PATTERN_NNPSK0,
    PREAMBLE_ZSTD,
    REJECT_BAD_VERSION,
    REJECT_OVERLOADED,
    REJECT_TICKET_REFUSED,
    REJECT_UNKNOWN_KEY,
    TLV_DICTIONARY,
    TLV_NODE_NAME,
    TLV_SERVER_TIME_MS,
)
from frame.preamble cimport REJECT_HEADER_BYTES, Flight, Tlv, flight_parse, reject_header_put, tlv_parse
from frame.record cimport put_u16
from frame.varint cimport UV_MAX, uv_get, uv_put, uv_size
from gateway_core.conn.resume cimport NO_AGE, resume_begin
from gateway_core.conn.session cimport finish
from gateway_core.conn.states cimport E_CLAIMED, E_ENDED, E_KEYED, WAITING
from gateway_core.conn.table cimport F_ZSTD, Claim, PreAuth, claim_of, conn_find, conn_move
from gateway_core.conn.tickets cimport claim_keep, ticket_take
from gateway_core.conn.transport cimport doom_quiet, send_raw
from gateway_core.includes.cpu cimport qw_cycles
from gateway_core.includes.sys cimport qw_clock_ns, qw_wall_ms
from gateway_core.leaf.admission cimport Wait
from gateway_core.leaf.dictionaries cimport dictionary_sending
from gateway_core.leaf.keys cimport (
    KEY_SET_MAX,
    Ephemeral,
    StaticKey,
    ephemeral_take,
    ephemerals_collect,
    ephemerals_join,
    key_find,
)
from gateway_core.leaf.lists cimport ids_pop
from gateway_core.leaf.stats cimport (
    N_EPHEMERALS_MADE_HOT,
    N_HANDSHAKES,
    N_HANDSHAKES_FAILED,
    N_REJECT_VERSION,
    R_HANDSHAKE_FAILED,
    R_MEMORY,
    R_REJECTED,
    S_HANDSHAKE,
    stage_end,
    stat_add,
)
from gateway_core.net.in_buffer cimport in_data, in_done

LAYOUT = layout()

cdef enum:
    GREETING_BYTES = 128  # payload of message 2: time and node name
    LANES_EACH = 2  # at most: es and ee
    NO_LANE = -1

cdef struct Asked:  # by the fields of a message 1
    bint wants  # a session
    uint64_t seen
    uint64_t age_ms

cdef struct Waiting:  # one of a group; its flight lies in the input buffer of its connection
    uint64_t id
    Flight flight
    Ticket ticket
    StaticKey* key  # NULL: the pattern has none
    Ephemeral ephemeral
    int es  # lanes
    int ee


cdef void reject(Loop* loop, Conn* c, int code, const Wait* wait) noexcept nogil:
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


cdef bint _judge(Loop* loop, Conn* c, Waiting* w, X25519Batch* b) noexcept nogil:
    """Its turn has come: the ticket is opened and the lanes are taken. 0: it is answered already."""
    cdef Flight* f = &w.flight
    cdef StaticKey* key = NULL
    if flight_parse(in_data(c.in_buf), c.in_buf.len, f) <= 0:
        doom_quiet(loop, c, R_HANDSHAKE_FAILED, 0)
        return False
    if f.preamble.pattern != PATTERN_NNPSK0:
        key = key_find(&loop.keys, f.preamble.key_id)
        if key == NULL:  # rotated away while this one waited
            reject(loop, c, REJECT_UNKNOWN_KEY, NULL)
            return False
    if f.ticket != NULL and ticket_take(loop, f.ticket, f.ticket_len, &w.ticket) < 0:
        reject(loop, c, REJECT_TICKET_REFUSED, NULL)
        return False
    if not ephemeral_take(&loop.ephemerals, &w.ephemeral):
        stat_add(&loop.stats, N_EPHEMERALS_MADE_HOT, 1)
    w.key = key
    w.es = x25519_put(b, key.priv, f.message) if key != NULL else NO_LANE
    w.ee = x25519_put(b, w.ephemeral.priv, f.message)
    return True


cdef void _answer(Loop* loop, Conn* c, const Waiting* w, const Shared* shared) noexcept nogil:
    cdef uint8_t payload1[HANDSHAKE_PAYLOAD_MAX]
    cdef uint8_t payload2[GREETING_BYTES]
    cdef uint8_t answer[2 + HANDSHAKE_MIN + GREETING_BYTES]
    cdef const Flight* f = &w.flight
    cdef size_t got = 0, m = _greeting(loop, payload2)
    cdef int length
    cdef Asked asked
    length = noise_respond(
        f.preamble.pattern, f.preamble.suite, in_data(c.in_buf), f.prologue_len, w.key.priv if w.key != NULL else NULL,
        w.key.pub if w.key != NULL else NULL, w.ticket.psk if f.ticket != NULL else NULL, w.ephemeral.priv,
        w.ephemeral.pub, shared, f.message, f.message_len, payload1, &got, payload2, m, answer + 2, &c.rx, &c.tx,
        (<PreAuth*>c.held).hash,
    )
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
        _claimed(loop, c, f, &w.ticket, &asked, answer, 2 + <size_t>length)
    else:
        conn_move(&loop.table, c, E_KEYED)
        send_raw(loop, c, answer, 2 + <size_t>length, True)


cdef Conn* _waits(Loop* loop, uint64_t id) noexcept nogil:
    """Who was answered before may have ended another."""
    cdef Conn* c = conn_find(&loop.table, id)
    return c if c != NULL and c.state == WAITING and c.in_buf != NULL else NULL


cdef void _group(Loop* loop) noexcept nogil:
    cdef Waiting group[X25519_LANES]
    cdef Waiting* w
    cdef X25519Batch batch
    cdef Shared shared
    cdef Conn* c
    cdef uint64_t began = qw_cycles()
    cdef int i, n = 0, first
    batch.n = 0
    while loop.waiting.count and batch.n <= X25519_LANES - LANES_EACH:
        w = &group[n]
        w.id = ids_pop(&loop.waiting)
        c = _waits(loop, w.id)
        if c != NULL and _judge(loop, c, w, &batch):
            n += 1
        elif c != NULL:
            in_done(&c.in_buf, &loop.stats)
    first = ephemerals_join(&loop.ephemerals, &batch)
    x25519_run(&batch)
    ephemerals_collect(&loop.ephemerals, &batch, first)
    for i in range(n):
        w = &group[i]
        c = _waits(loop, w.id)
        if c == NULL:
            continue
        if w.es != NO_LANE:
            memcpy(shared.es, batch.product[w.es], X25519_BYTES)
        memcpy(shared.ee, batch.product[w.ee], X25519_BYTES)
        _answer(loop, c, w, &shared)
        in_done(&c.in_buf, &loop.stats)
    sodium.memzero(group, n * sizeof(Waiting))
    sodium.memzero(&shared, sizeof(Shared))
    x25519_wipe(&batch)
    stage_end(&loop.stats, S_HANDSHAKE, began, <uint64_t>n)


cdef void handshake_waiting(Loop* loop) noexcept nogil:
    # a budget of its own: reads that took long must not starve those who wait
    cdef uint64_t until = 0
    while loop.waiting.count:
        if until == 0:
            until = qw_clock_ns(0) + <uint64_t>loop.config.handshake_budget_us * 1000
        elif qw_clock_ns(0) >= until:
            return
        _group(loop)
