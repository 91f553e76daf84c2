from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from cmodules cimport layout
from crypto.aead cimport aead_tag_size
from crypto.noise cimport noise_nk_respond
from crypto.sodium cimport sodium
from crypto.zstd cimport Dictionary
from frame.constants cimport (
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    FLAG_COMPRESSED,
    FRAME_AUTH,
    HANDSHAKE_MAX,
    HANDSHAKE_MIN,
    HANDSHAKE_PAYLOAD_MAX,
    PATTERN_NK,
    PREAMBLE_KNOWN,
    PREAMBLE_SIZE,
    PREAMBLE_ZSTD,
    REJECT_BAD_VERSION,
    REJECT_OVERLOADED,
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
from frame.preamble cimport REJECT_HEADER_BYTES, Preamble, Tlv, preamble_parse, reject_header_put, tlv_parse
from frame.proxy cimport ProxyHeader, proxy_v2_parse
from frame.record cimport get_u16, put_u16
from frame.varint cimport UV_MAX, uv_put, uv_size
from gateway_core.conn.session cimport conn_admit, conn_let_in, finish, preauth_drop
from gateway_core.conn.states cimport ASKED, DOOMED, E_ASKED, E_ENDED, E_KEYED, E_QUEUED, SECURED, WAITING
from gateway_core.conn.table cimport F_PROXIED, F_ZSTD, HANDSHAKE_HASH, PreAuth, conn_find, conn_id, conn_move
from gateway_core.conn.transport cimport doom_quiet, send_raw
from gateway_core.includes.cpu cimport qw_cycles
from gateway_core.includes.sys cimport IP_BYTES, PEER_TEXT_BYTES, qw_clock_ns, qw_peer_text, qw_wall_ms
from gateway_core.leaf.admission cimport KNOWN, NEWCOMER, Wait
from gateway_core.leaf.dictionaries cimport dictionary_sending
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_AUTH, event_push
from gateway_core.leaf.keys cimport KEY_SET_MAX, Ephemeral, StaticKey, ephemeral_take, key_find
from gateway_core.leaf.lists cimport ids_pop, ids_push
from gateway_core.leaf.stats cimport (
    N_EPHEMERALS_MADE_HOT,
    N_HANDSHAKES,
    N_HANDSHAKES_FAILED,
    N_REJECT_VERSION,
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
from gateway_core.net.in_buffer cimport in_data, in_done

LAYOUT = layout()

cdef enum:
    RETRY_MS = 2000  # told to clients refused by a full queue, and as much jitter
    GREETING_BYTES = 128  # payload of message 2: time and node name


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


cdef bint _fields_valid(const uint8_t* p, size_t n) noexcept nogil:
    """The payload of message 1: whole fields, none of which means anything yet."""
    cdef Tlv field
    cdef ptrdiff_t used
    cdef size_t at = 0
    while at < n:
        used = tlv_parse(p + at, n - at, &field)
        if used <= 0:
            return False
        at += <size_t>used
    return True


cdef void _handshake(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef uint8_t payload1[HANDSHAKE_PAYLOAD_MAX]
    cdef uint8_t payload2[GREETING_BYTES]
    cdef uint8_t answer[2 + HANDSHAKE_MIN + GREETING_BYTES]
    cdef Ephemeral e
    cdef size_t got = 0, m
    cdef int length
    cdef uint64_t t = qw_cycles()
    cdef Preamble pre
    cdef StaticKey* key
    if preamble_parse(p, n, &pre) <= 0:
        doom_quiet(loop, c, R_HANDSHAKE_FAILED, 0)
        return
    key = key_find(&loop.keys, pre.key_id)
    if key == NULL:  # rotated away while this one waited
        _reject(loop, c, REJECT_UNKNOWN_KEY, NULL)
        return
    if not ephemeral_take(&loop.ephemerals, &e):
        stat_add(&loop.stats, N_EPHEMERALS_MADE_HOT, 1)
    m = _greeting(loop, payload2)
    length = noise_nk_respond(
        pre.suite, p, PREAMBLE_SIZE, key.priv, key.pub, e.priv, e.pub,
        p + PREAMBLE_SIZE + 2, get_u16(p + PREAMBLE_SIZE), payload1, &got,
        payload2, m, answer + 2, &c.rx, &c.tx, (<PreAuth*>c.held).hash,
    )
    sodium.memzero(&e, sizeof(Ephemeral))
    if length < 0 or not _fields_valid(payload1, got):
        stat_add(&loop.stats, N_HANDSHAKES_FAILED, 1)
        doom_quiet(loop, c, R_HANDSHAKE_FAILED, 0)
        return
    put_u16(answer, <uint16_t>length)
    c.suite = pre.suite
    c.tx_tick = loop.now_tick
    if pre.flags & PREAMBLE_ZSTD and loop.config.compress:
        c.flags |= F_ZSTD
    conn_move(&loop.table, c, E_KEYED)
    stat_add(&loop.stats, N_HANDSHAKES, 1)
    send_raw(loop, c, answer, 2 + <size_t>length, True)
    stage_end(&loop.stats, S_HANDSHAKE, t, 1)


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
    if not pre.proxy_allowed or c.flags & F_PROXIED:
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
    if pre.pattern != PATTERN_NK or pre.flags & ~<int>(PREAMBLE_ZSTD | PREAMBLE_KNOWN) or aead_tag_size(pre.suite) < 0:
        return REJECT_UNSUPPORTED
    return 0 if key_find(&loop.keys, pre.key_id) != NULL else REJECT_UNKNOWN_KEY


cdef ptrdiff_t hello(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef Preamble pre
    cdef ptrdiff_t used = preamble_parse(p, n, &pre)
    cdef Wait wait
    cdef int code
    cdef size_t length
    if used < 0:
        doom_quiet(loop, c, R_PREAMBLE, 0)
        return -1
    if used == 0:
        return 0
    code = _judge_preamble(loop, &pre)
    if code:
        _reject(loop, c, code, NULL)
        return -1
    if n < PREAMBLE_SIZE + 2:
        return 0
    length = get_u16(p + PREAMBLE_SIZE)
    if length < HANDSHAKE_MIN or length > HANDSHAKE_MAX:
        doom_quiet(loop, c, R_HANDSHAKE_LENGTH, 0)
        return -1
    if n < PREAMBLE_SIZE + 2 + length:
        return 0
    if n > PREAMBLE_SIZE + 2 + length:  # nothing can follow before our answer
        doom_quiet(loop, c, R_BEFORE_AUTH, 0)
        return -1
    if not conn_let_in(loop, c, KNOWN if pre.flags & PREAMBLE_KNOWN else NEWCOMER, &wait):
        _reject(loop, c, REJECT_OVERLOADED, &wait)
        return -1
    if loop.waiting.count == 0 and qw_clock_ns(0) < loop.handshake_until_ns:
        _handshake(loop, c, p, n)
        return -1 if c.state == DOOMED else <ptrdiff_t>n
    if _handshake_later(loop, c) < 0:
        wait.retry_ms = wait.jitter_ms = RETRY_MS
        _reject(loop, c, REJECT_OVERLOADED, &wait)
        return -1
    return 0


cdef void _auth(Loop* loop, Conn* c, const Frame* f) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>c.held
    cdef AuthBody a
    cdef char peer[PEER_TEXT_BYTES]
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
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
    if f.ack:  # of a MSG that nobody sent
        doom_quiet(loop, c, R_ACK, CLOSE_PROTOCOL_ERROR)
    elif f.type == FRAME_AUTH and c.state == SECURED:
        _auth(loop, c, f)
    elif c.state != ASKED or f.type < TYPE_SKIPPABLE_FIRST:
        doom_quiet(loop, c, R_BEFORE_AUTH, CLOSE_PROTOCOL_ERROR)
