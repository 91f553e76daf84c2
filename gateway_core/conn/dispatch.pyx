from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from cmodules cimport layout
from crypto.aead cimport aead_open, aead_rekey, aead_tag_size
from crypto.zstd cimport Dictionary, zstd_decompress, zstd_decompress_with, zstd_dictionary_of, zstd_may_inflate
from frame.codes cimport TOO_BIG
from frame.constants cimport (
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    CLOSE_RATE_LIMITED,
    CLOSE_TOO_BIG,
    FLAG_ACK,
    FLAG_COMPRESSED,
    FRAME_ACK,
    FRAME_CALL,
    FRAME_CLOSE,
    FRAME_DICTIONARY,
    FRAME_EVENT,
    FRAME_PADDING,
    FRAME_PING,
    FRAME_PONG,
    FRAME_REKEY,
    FRAME_REPORT,
    FRAME_SEND,
    FRAME_SEND_ACK,
    MAX_RATIO,
    MAX_RAW_BODY,
    PREAUTH_MAX_RECORD,
    RECORD_MAX_PLAINTEXT,
    TYPE_SKIPPABLE_FIRST,
)
from frame.frames cimport Frame, Ping, Request, frame_parse, ping_parse, reply_header_put, request_parse
from frame.names cimport USER_PREFIX_BYTES, is_user_topic
from frame.record cimport record_parse
from frame.utf8 cimport utf8_valid
from frame.varint cimport UV_MAX, uv_get
from gateway_core.conn.announce cimport TOPIC_MAX
from gateway_core.conn.fanout cimport publish_all
from gateway_core.conn.easing cimport read_pause
from gateway_core.conn.handshake cimport early_frame, hello, proxy
from gateway_core.conn.policy cimport policy_pong, policy_report
from gateway_core.conn.resume cimport resume_take
from gateway_core.conn.session cimport set_interval
from gateway_core.conn.states cimport (
    ASKED,
    BEFORE_LOGIN,
    DEAF,
    DOOMED,
    E_GREETED,
    HELLO,
    KEYED,
    LIVE,
    RESUMING,
    SECURED,
    WAITING,
    state_in,
)
from gateway_core.conn.table cimport (
    F_DICTIONARY,
    F_PROXIED,
    F_WS,
    F_ZSTD,
    IS_PROXIER,
    LIFE_SHIFT,
    PreAuth,
    Session,
    conn_id,
    conn_move,
    key_begins,
    key_is_old,
    session_device,
    session_of,
    session_user,
)
from gateway_core.conn.tickets cimport claim_drop, ticket_renew
from gateway_core.conn.transport cimport doom, doom_quiet, enqueue, enqueue_frame
from gateway_core.conn.ws_gate cimport ws_strip, ws_upgrade
from gateway_core.includes.cpu cimport qw_cycles, qw_hash
from gateway_core.includes.sys cimport qw_recv, qw_would_block
from gateway_core.leaf.dictionaries cimport dictionary_find, dictionary_frame, dictionary_sending
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_CALL, EV_SEND, event_push
from gateway_core.leaf.policies cimport policies_bytes
from gateway_core.leaf.ring cimport unacked_ack
from gateway_core.leaf.shared_buf cimport NORMAL, SharedBuf, buf_frame, buf_unref
from gateway_core.leaf.stats cimport (
    N_BYTES_IN,
    N_FRAMES_IN,
    N_PINGS,
    N_RATE_LIMITED,
    N_RECORDS_IN,
    N_REKEYS_IN,
    N_RELAYED,
    R_ACK,
    R_AEAD,
    R_COMPRESSED,
    R_EMPTY_RECORD,
    R_FIRST_BYTES,
    R_FRAME,
    R_FRAME_BODY,
    R_FRAME_TOO_BIG,
    R_FRAME_TYPE,
    R_MEMORY,
    R_PEER_CLOSED,
    R_PEER_CLOSE_FRAME,
    R_PEER_RESET,
    R_PREAUTH_TOO_BIG,
    R_PROXY_MISSING,
    R_RATE,
    R_RECORD_LENGTH,
    R_REKEY_LATE,
    R_REKEY_PLACE,
    S_DISPATCH,
    S_OPEN,
    S_READ,
    stage_end,
    stat_add,
)
from gateway_core.leaf.token_bucket cimport bucket_take
from gateway_core.net.in_buffer cimport IN_EXACT, IN_SLACK, in_keep, in_restore
from gateway_core.types cimport EASE_READS, touch

LAYOUT = layout()

cdef enum:
    QW1_FIRST = 0x51  # "Q"
    GET_FIRST = 0x47  # "G"
    PROXY_FIRST = 0x0D  # first byte of the version 2 signature
    # Bytes of what is unfinished that are kept before login. A peer costs 1 KiB at most, of malloc's blocks (n + 8, up
    # to a multiple of 16): Conn and deadline 132, PreAuth 64, and an InBuf of 816; or, while its AUTH lies with Python
    # and it has nothing to say, 132, the event's strings 832 and an InBuf of 48. tests/native/gateway_core measures it.
    KEEP = 784  # PROXY header, upgrade, message 1, or an AUTH of PREAUTH_MAX_RECORD and a WebSocket header
    KEEP_ASKED = 16
    WISH_USE = 1  # of a DICTIONARY frame; 0: to be sent it
    # ... with a Claim behind the PreAuth, 288 both: an AUTH by ticket, or the first record of one who resumes.
    KEEP_CLAIM = 512
    CHARGE_SHIFT = 12  # each 4 KiB of a raw body cost as much as a frame


cdef void _ping(Loop* loop, Conn* c, const Frame* f) noexcept nogil:
    cdef Ping ping
    if ping_parse(f.body, f.body_len, &ping) < 0:
        doom_quiet(loop, c, R_FRAME_BODY, CLOSE_PROTOCOL_ERROR)
        return
    stat_add(&loop.stats, N_PINGS, 1)
    if ping.next_interval_s:
        set_interval(loop, c, ping.next_interval_s)
    policy_pong(loop, c)
    if session_of(c).until:
        ticket_renew(loop, c)


cdef void _relay(Loop* loop, Conn* c, const Request* r) noexcept nogil:
    """Publishes the payload as an EVENT to the target topic on all loops, and answers."""
    cdef uint8_t head[2 * UV_MAX]
    cdef SharedBuf* b = buf_frame(FRAME_EVENT, NULL, 0, r.payload, r.payload_len, <const char*>r.name, r.name_len)
    if b == NULL:
        doom_quiet(loop, c, R_MEMORY, 0)
        return
    b.cls = NORMAL
    if is_user_topic(<const char*>r.name, r.name_len):
        b.hash = qw_hash(r.name + USER_PREFIX_BYTES, r.name_len - USER_PREFIX_BYTES, loop.engine.seed)
    else:
        b.hash = qw_hash(r.name, r.name_len, loop.engine.seed)
    stat_add(&loop.stats, N_RELAYED, 1)
    publish_all(loop, b)
    buf_unref(b)
    if c.state == LIVE:
        enqueue_frame(loop, c, FRAME_SEND_ACK, head, reply_header_put(head, r.request, 0))


cdef void _request(Loop* loop, Conn* c, const Frame* f) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef Request r
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    cdef Py_ssize_t i
    if request_parse(f.body, f.body_len, &r) < 0 or r.request >> LIFE_SHIFT or not utf8_valid(r.name, r.name_len):
        doom_quiet(loop, c, R_FRAME_BODY, CLOSE_PROTOCOL_ERROR)
        return
    if f.type == FRAME_SEND and loop.config.relay_len and loop.config.relay_len <= r.name_len <= TOPIC_MAX:
        for i in range(loop.config.relay_len):
            if r.name[i] != <uint8_t>loop.config.relay[i]:
                break
        else:
            _relay(loop, c, &r)
            return
    strings[0] = session_user(s)
    sizes[0] = s.user_len
    strings[1] = session_device(s)
    sizes[1] = s.device_len
    strings[2] = r.name
    sizes[2] = <uint32_t>r.name_len
    strings[3] = r.payload
    sizes[3] = <uint32_t>r.payload_len
    if event_push(&loop.events, EV_SEND if f.type == FRAME_SEND else EV_CALL, conn_id(&loop.table, c), r.request | <uint64_t>s.life << LIFE_SHIFT, 0, 0, 0,
                  strings, sizes, 4) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)


cdef void _peer_close(Loop* loop, Conn* c, const Frame* f) noexcept nogil:
    cdef uint64_t code = 0
    if uv_get(f.body, f.body_len, &code) < 1 or code > 0xFFFF:
        doom_quiet(loop, c, R_FRAME_BODY, CLOSE_PROTOCOL_ERROR)
    else:
        doom_quiet(loop, c, R_PEER_CLOSE_FRAME, <int>code)


cdef void _dictionary(Loop* loop, Conn* c, const Frame* f) noexcept nogil:
    """A wish for a dictionary that is not here any more is not heard: the client goes on without."""
    cdef const Dictionary* sending = dictionary_sending(&loop.dictionaries)
    cdef SharedBuf* frame
    cdef uint64_t id = 0
    cdef int n = uv_get(f.body, f.body_len, &id)
    if n < 1 or f.body_len != <size_t>n + 1 or f.body[n] > WISH_USE:
        doom_quiet(loop, c, R_FRAME_BODY, CLOSE_PROTOCOL_ERROR)
    elif f.body[n] == WISH_USE:
        if c.flags & F_ZSTD and sending != NULL and id == sending.id:
            c.flags |= F_DICTIONARY
    elif id == <uint32_t>id:
        frame = dictionary_frame(&loop.dictionaries, <uint32_t>id)
        if frame != NULL:
            enqueue(loop, c, frame)


cdef int _inflate(Loop* loop, Frame* f) noexcept nogil:
    """Replaces a compressed body by its raw form in the loop's buffer. 0, or what the connection ends with."""
    cdef uint64_t raw = 0
    cdef const Dictionary* d
    cdef uint32_t id
    cdef int n = uv_get(f.body, f.body_len, &raw)
    if n < 1 or not zstd_may_inflate(f.body + n, f.body_len - n, raw, MAX_RAW_BODY, MAX_RATIO):
        return CLOSE_PROTOCOL_ERROR
    id = zstd_dictionary_of(f.body + n, f.body_len - n)
    if id:
        d = dictionary_find(&loop.dictionaries, id)
        if d == NULL:  # it was the one of now once
            return CLOSE_NORMAL
        if zstd_decompress_with(loop.expander, d, f.body + n, f.body_len - n, loop.raw_body, <size_t>raw) < 0:
            return CLOSE_PROTOCOL_ERROR
    elif zstd_decompress(loop.expander, f.body + n, f.body_len - n, loop.raw_body, <size_t>raw) < 0:
        return CLOSE_PROTOCOL_ERROR
    f.body = loop.raw_body
    f.body_len = <size_t>raw
    return 0


cdef void _live_frame(Loop* loop, Conn* c, Frame* f, bint last) noexcept nogil:
    cdef int code
    if f.flags & FLAG_ACK and f.ack > c.msgs_sent:
        doom(loop, c, R_ACK, CLOSE_PROTOCOL_ERROR)
        return
    if f.flags & FLAG_COMPRESSED:
        code = _inflate(loop, f)
        if code == CLOSE_PROTOCOL_ERROR:
            doom_quiet(loop, c, R_COMPRESSED, code)
            return
        if code:
            doom(loop, c, R_COMPRESSED, code)
            return
    if f.flags & FLAG_ACK and session_of(c).unacked != NULL:
        unacked_ack(&session_of(c).unacked, &loop.stats, f.ack)
    if f.type == FRAME_SEND or f.type == FRAME_CALL:
        _request(loop, c, f)
    elif f.type == FRAME_PING:
        _ping(loop, c, f)
    elif f.type == FRAME_ACK or f.type == FRAME_PONG or f.type == FRAME_PADDING:
        pass
    elif f.type == FRAME_REKEY:
        if not last or f.body_len:
            doom_quiet(loop, c, R_REKEY_PLACE, CLOSE_PROTOCOL_ERROR)
            return
        aead_rekey(c.suite, &c.rx)
        key_begins(session_of(c), 0, loop.now_s)
        stat_add(&loop.stats, N_REKEYS_IN, 1)
    elif f.type == FRAME_DICTIONARY:
        _dictionary(loop, c, f)
    elif f.type == FRAME_CLOSE:
        _peer_close(loop, c, f)
    elif f.type == FRAME_REPORT:
        policy_report(loop, c, f.body, f.body_len)
    elif f.type < TYPE_SKIPPABLE_FIRST:
        doom(loop, c, R_FRAME_TYPE, CLOSE_PROTOCOL_ERROR)


cdef inline bint _paid(Loop* loop, Conn* c, uint32_t tokens) noexcept nogil:
    """Takes from the session's inbound budget. 0: it is used up, the connection ends."""
    if bucket_take(&session_of(c).inbound, &loop.config.inbound, loop.now_ns, tokens):
        return True
    stat_add(&loop.stats, N_RATE_LIMITED, 1)
    doom(loop, c, R_RATE, CLOSE_RATE_LIMITED)
    return False


cdef void _frames(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    """The frames of one record."""
    cdef Frame f
    cdef ptrdiff_t used
    cdef size_t at = 0
    cdef uint32_t count = 0
    if c.state == LIVE:
        session_of(c).rx_records += 1
    while at < n and c.state != DOOMED:
        used = frame_parse(p + at, n - at, loop.config.max_body, &f)
        if used == TOO_BIG:
            doom(loop, c, R_FRAME_TOO_BIG, CLOSE_TOO_BIG)
            return
        if used <= 0:
            doom_quiet(loop, c, R_FRAME, CLOSE_PROTOCOL_ERROR)
            return
        at += <size_t>used
        count += 1
        if c.state == LIVE:
            if _paid(loop, c, 1):  # before it costs anything: a record holds thousands
                _live_frame(loop, c, &f, at == n)
                if f.body_len >> CHARGE_SHIFT and c.state == LIVE:
                    _paid(loop, c, <uint32_t>(f.body_len >> CHARGE_SHIFT))
        else:
            early_frame(loop, c, &f)
    stat_add(&loop.stats, N_FRAMES_IN, count)
    if c.state == LIVE and key_is_old(session_of(c), loop.now_s):
        doom(loop, c, R_REKEY_LATE, CLOSE_PROTOCOL_ERROR)


cdef inline ptrdiff_t _open(Loop* loop, Conn* c, uint8_t* p, size_t n, int* plain, uint64_t* t) noexcept nogil:
    """One record, opened in place at p + 2. > 0 consumed, 0 more is needed, -1 doomed."""
    cdef size_t sealed = 0
    cdef size_t tag = <size_t>aead_tag_size(c.suite)
    cdef size_t limit = RECORD_MAX_PLAINTEXT + tag if c.state == LIVE else PREAUTH_MAX_RECORD - 2
    cdef ptrdiff_t used = record_parse(p, n, tag + 1, limit, &sealed)
    if used == 0:
        return 0
    if used < 0:
        doom_quiet(loop, c, R_RECORD_LENGTH if c.state == LIVE else R_PREAUTH_TOO_BIG, CLOSE_PROTOCOL_ERROR)
        return -1
    t[0] = qw_cycles()
    plain[0] = aead_open(c.suite, &c.rx, p + 2, sealed, p + 2)
    if plain[0] <= 0:
        doom_quiet(loop, c, R_AEAD if plain[0] < 0 else R_EMPTY_RECORD, CLOSE_PROTOCOL_ERROR)
        return -1
    t[0] = stage_end(&loop.stats, S_OPEN, t[0], 1)
    stat_add(&loop.stats, N_RECORDS_IN, 1)
    return used


cdef ptrdiff_t _record(Loop* loop, Conn* c, uint8_t* p, size_t n) noexcept nogil:
    """One record and its frames. > 0 consumed, 0 more is needed, -1 doomed."""
    cdef int plain = 0
    cdef uint64_t t = 0
    cdef ptrdiff_t used = _open(loop, c, p, n, &plain, &t)
    if used > 0:
        _frames(loop, c, p + 2, <size_t>plain)
        stage_end(&loop.stats, S_DISPATCH, t, 1)
    return used


cdef ptrdiff_t _first_record(Loop* loop, Conn* c, uint8_t* p, size_t n, size_t raw) noexcept nogil:
    """The first one behind a handshake with a ticket. The rest of the stream is the session's, whose slot has it then: -1."""
    cdef int plain = 0
    cdef uint64_t t = 0
    cdef ptrdiff_t used = _open(loop, c, p, n, &plain, &t)
    cdef Conn* s
    if used <= 0:
        return used
    s = resume_take(loop, c)
    if s == NULL:
        return used if not state_in(c.state, DEAF) else -1
    _frames(loop, s, p + 2, <size_t>plain)
    if not state_in(s.state, DEAF):
        _feed(loop, s, p + used, n - <size_t>used, raw)
    return -1


cdef ptrdiff_t _step(Loop* loop, Conn* c, uint8_t* p, size_t n, size_t* end, size_t* raw) noexcept nogil:
    """One unit of the stream. > 0 consumed, 0 more is needed, -1 doomed. *end shrinks when an upgrade is stripped."""
    cdef ptrdiff_t used, left
    if c.state == RESUMING:
        return _first_record(loop, c, p, n, raw[0])
    if state_in(c.state, KEYED):
        return _record(loop, c, p, n)
    if c.state == WAITING:
        return 0
    if c.state == HELLO:
        return hello(loop, c, p, n)
    if p[0] != PROXY_FIRST and (<PreAuth*>c.held).is_ & IS_PROXIER and not c.flags & F_PROXIED:
        # Without the header nobody knows whom it is for: every client behind it would be outside all limits.
        doom_quiet(loop, c, R_PROXY_MISSING, 0)
        return -1
    if p[0] == QW1_FIRST:
        conn_move(&loop.table, c, E_GREETED)
        return hello(loop, c, p, n)
    if p[0] == PROXY_FIRST:
        return proxy(loop, c, p, n)
    if p[0] != GET_FIRST:
        doom_quiet(loop, c, R_FIRST_BYTES, 0)
        return -1
    used = ws_upgrade(loop, c, p, n)
    if used > 0 and <size_t>used < n:
        left = ws_strip(loop, c, p + used, n - <size_t>used, raw)
        if left < 0:
            return -1
        end[0] -= (n - <size_t>used) - <size_t>left
    return used


cdef bint _may_keep(Conn* c, size_t n) noexcept nogil:
    """Before a login. What is longer than the rest of a ticket leaves room for has a token: the ticket is given up."""
    if c.state == ASKED:
        return n <= KEEP_ASKED
    if n > KEEP_CLAIM and c.state == SECURED:
        claim_drop(c)
    return n <= <size_t>(KEEP_CLAIM if c.state == RESUMING else KEEP)


cdef void _feed(Loop* loop, Conn* c, uint8_t* p, size_t n, size_t raw) noexcept nogil:
    """n bytes of the stream, and behind them raw ones that are not of it yet."""
    cdef size_t at = 0
    cdef ptrdiff_t used
    while at < n:
        used = _step(loop, c, p + at, n - at, &n, &raw)
        if used < 0:
            return
        if used == 0:
            break
        at += <size_t>used
        if state_in(c.state, DEAF):
            return
    if state_in(c.state, BEFORE_LOGIN) and not _may_keep(c, n - at + raw):
        doom_quiet(loop, c, R_PREAUTH_TOO_BIG, 0)
    elif in_keep(&c.in_buf, &loop.stats, p + at, n - at, raw, IN_SLACK if c.state == LIVE else IN_EXACT) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)


cdef void conn_readable(Loop* loop, Conn* c) noexcept nogil:
    cdef uint8_t* p = loop.read_buf
    cdef uint64_t t = qw_cycles()
    cdef size_t raw = 0
    cdef size_t kept = in_restore(c.in_buf, p, &raw)
    cdef ptrdiff_t got = qw_recv(c.fd, p + kept + raw, loop.read_most)
    stage_end(&loop.stats, S_READ, t, 1)
    if got <= 0:
        if got == 0:
            doom_quiet(loop, c, R_PEER_CLOSED, 0)
        elif not qw_would_block():
            doom_quiet(loop, c, R_PEER_RESET, 0)
        return
    if state_in(c.state, DEAF):
        return
    stat_add(&loop.stats, N_BYTES_IN, got)
    if c.state == LIVE:
        touch(loop, c)
        if loop.policies.canaries:
            policies_bytes(&loop.policies, session_of(c).told, <size_t>got)
        if <uint32_t>got == loop.read_most and loop.easing & EASE_READS:
            read_pause(loop, c)
    if c.flags & F_WS:
        got = ws_strip(loop, c, p + kept, raw + <size_t>got, &raw)
        if got < 0:
            return
    _feed(loop, c, p, kept + <size_t>got, raw)
