from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from crypto.noise cimport noise_keypair, noise_nk_respond
from crypto.sodium cimport sodium
from frame.constants cimport (
    CLOSE_AUTH_TIMEOUT,
    CLOSE_IDLE_TIMEOUT,
    CLOSE_NORMAL,
    CLOSE_OVERLOADED,
    CLOSE_DRAINING,
    FRAME_CLOSE,
    PREAMBLE_SIZE,
    PREAMBLE_ZSTD,
    REJECT_BAD_VERSION,
    REJECT_OVERLOADED,
    REJECT_UNKNOWN_KEY,
    TLV_NODE_NAME,
    TLV_SERVER_TIME_MS,
)
from frame.preamble cimport Preamble, preamble_parse, reject_header_put
from frame.record cimport get_u16, put_u16
from frame.varint cimport uv_put, uv_size
from gateway_core.conn.topics cimport topics_leave_all, user_add, user_remove
from gateway_core.conn.transport cimport doom, doom_quiet, enqueue, flush_conn, send_raw
from gateway_core.includes.cpu cimport qw_cycles
from gateway_core.includes.sys cimport close, qw_clock_ns, qw_peer_text, qw_set_buffers, qw_shutdown_write, qw_wall_ms
from gateway_core.leaf.conn_table cimport conn_find, conn_new, conn_release, set_state
from gateway_core.leaf.deadlines cimport touch
from gateway_core.leaf.events cimport event_push
from gateway_core.leaf.shared_buf cimport buf_frame, buf_unref
from gateway_core.leaf.stats cimport (
    L_PREAUTH,
    L_SESSIONS,
    N_EPHEMERALS_MADE_HOT,
    N_HANDSHAKES,
    N_HANDSHAKES_FAILED,
    N_LOGINS,
    N_REFUSED_FULL,
    N_REFUSED_IP_CONNECTIONS,
    N_REFUSED_IP_RATE,
    N_REFUSED_NET64,
    N_REJECT_VERSION,
    N_STALE_COMMANDS,
    R_AUTH_TIMEOUT,
    R_CLOSE_STALLED,
    R_COMMAND,
    R_IDLE,
    R_MEMORY,
    R_REJECTED,
    R_SHAKE_FAILED,
    R_STOPPED,
    S_SHAKE,
    count_code,
    stage_end,
    stat_add,
)
from gateway_core.leaf.token_bucket cimport IP_NET_FULL, IP_OK, IP_TOO_FAST, IP_TOO_MANY, ip_enter, ip_leave
from gateway_core.net.in_buffer cimport in_drop
from gateway_core.net.out_queue cimport queue_clear
from gateway_core.net.poller cimport poller_add
from gateway_core.types cimport (
    ASKED,
    CLOSING,
    DOOMED,
    EV_CLOSED,
    F_LOST,
    F_PROXIED,
    F_WS,
    F_ZSTD,
    FREE,
    LINGER,
    LIVE,
    NONE32,
    SHAKEN,
    WAITING,
    Conn,
    Doom,
    Ephemeral,
    Loop,
    PreAuth,
    Session,
    SharedBuf,
    StaticKey,
    conn_id,
    in_data,
    layout_mark,
    session_device,
    session_of,
    session_user,
)

LAYOUT = layout_mark()

cdef enum:
    CLOSING_S = 5  # seconds for the last bytes to leave
    LINGER_S = 2  # seconds for the peer to close after us: closing at once would reset what is still under way
    RETRY_MS = 2000  # told to clients refused for overload


cdef void _release(Loop* loop, Conn* c) noexcept nogil:
    if c.fd >= 0:
        close(c.fd)
    in_drop(loop, c)
    queue_clear(loop, c, True)
    ip_leave(loop, c.ip_ref)
    if c.held != NULL:
        sodium.memzero(c.held, sizeof(PreAuth))
        free(c.held)
        stat_add(loop, L_PREAUTH, -1)
    conn_release(loop, c)


cdef bint conn_admit(Loop* loop, Conn* c) noexcept nogil:
    cdef int verdict = ip_enter(loop, (<PreAuth*>c.held).ip, &c.ip_ref)
    if verdict == IP_OK:
        return True
    if verdict == IP_TOO_MANY:
        stat_add(loop, N_REFUSED_IP_CONNECTIONS, 1)
    elif verdict == IP_TOO_FAST:
        stat_add(loop, N_REFUSED_IP_RATE, 1)
    else:
        stat_add(loop, N_REFUSED_NET64, 1)
    return False


cdef bint _balancer(Loop* loop, const uint8_t* ip16) noexcept nogil:
    cdef uint32_t i, bits
    cdef uint8_t mask
    for i in range(loop.set.n_ranges):
        bits = loop.set.ranges[i].bits
        if memcmp(ip16, loop.set.ranges[i].ip, bits // 8) != 0:
            continue
        mask = <uint8_t>(0xFF00 >> (bits & 7))
        if bits & 7 == 0 or (ip16[bits // 8] & mask) == (loop.set.ranges[i].ip[bits // 8] & mask):
            return True
    return False


cdef void conn_open(Loop* loop, int fd, const uint8_t* ip16, uint16_t port) noexcept nogil:
    cdef Conn* c = conn_new(loop)
    cdef PreAuth* pre
    if c == NULL:
        stat_add(loop, N_REFUSED_FULL, 1)
        close(fd)
        return
    c.fd = fd
    pre = <PreAuth*>calloc(1, sizeof(PreAuth))
    if pre == NULL:
        conn_release(loop, c)
        close(fd)
        return
    c.held = pre
    stat_add(loop, L_PREAUTH, 1)
    memcpy(pre.ip, ip16, 16)
    pre.port = port
    pre.proxy_allowed = _balancer(loop, ip16)
    c.timeout_s = <uint16_t>loop.set.auth_timeout_s
    # a balancer's connections are judged by the address its header names
    if (not pre.proxy_allowed and not conn_admit(loop, c)) or poller_add(loop, c) < 0:
        _release(loop, c)
        return
    qw_set_buffers(fd, loop.set.send_buffer, loop.set.receive_buffer)
    touch(loop, c)


# handshake -----------------------------------------------------------------------------------------------------

cdef void reject(Loop* loop, Conn* c, int code) noexcept nogil:
    cdef uint8_t out[1100]
    cdef uint8_t retry[10]
    cdef const uint8_t* data = NULL
    cdef size_t n = 0, m
    if code == REJECT_UNKNOWN_KEY:
        data = loop.keys.signed_set
        n = loop.keys.signed_len
    elif code == REJECT_OVERLOADED:
        data = retry
        n = <size_t>uv_put(retry, RETRY_MS)
    m = reject_header_put(out, code, n)
    if n:
        memcpy(out + m, data, n)
    stat_add(loop, N_REJECT_VERSION + code - REJECT_BAD_VERSION, 1)
    loop.reasons[R_REJECTED] += 1
    send_raw(loop, c, out, m + n, True)
    if c.state != DOOMED:
        set_state(loop, c, CLOSING)
        c.timeout_s = CLOSE_NORMAL
        finish(loop, c)


cdef StaticKey* _key(Loop* loop, uint16_t id) noexcept nogil:
    cdef uint32_t i
    for i in range(loop.keys.n):
        if loop.keys.key[i].id == id:
            return &loop.keys.key[i]
    return NULL


cdef int ephemerals_fill(Loop* loop, int n) noexcept nogil:
    cdef int made = 0
    while made < n and loop.pooled < loop.set.ephemerals:
        if noise_keypair(loop.pool[loop.pooled].priv, loop.pool[loop.pooled].pub) < 0:
            break
        loop.pooled += 1
        made += 1
    return made


cdef size_t _greeting(Loop* loop, uint8_t* out) noexcept nogil:
    """Payload of message 2: server time and node name."""
    cdef uint64_t ms = qw_wall_ms()
    cdef size_t n = 0
    n += uv_put(out + n, TLV_SERVER_TIME_MS)
    n += uv_put(out + n, uv_size(ms))
    n += uv_put(out + n, ms)
    n += uv_put(out + n, TLV_NODE_NAME)
    n += uv_put(out + n, loop.set.node_len)
    memcpy(out + n, loop.set.node, loop.set.node_len)
    return n + loop.set.node_len


cdef void shake(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef uint8_t payload1[1024]
    cdef uint8_t payload2[128]
    cdef uint8_t answer[256]
    cdef Ephemeral fresh
    cdef Ephemeral* e = &fresh
    cdef size_t got = 0, m
    cdef int length
    cdef uint64_t t = qw_cycles()
    cdef Preamble pre
    cdef StaticKey* key
    if preamble_parse(p, n, &pre) <= 0:
        doom_quiet(loop, c, R_SHAKE_FAILED, 0)
        return
    key = _key(loop, pre.key_id)
    if key == NULL:  # rotated away while this one waited
        reject(loop, c, REJECT_UNKNOWN_KEY)
        return
    if loop.pooled == 0:
        stat_add(loop, N_EPHEMERALS_MADE_HOT, 1)
        noise_keypair(fresh.priv, fresh.pub)
    else:
        loop.pooled -= 1
        e = &loop.pool[loop.pooled]
    m = _greeting(loop, payload2)
    length = noise_nk_respond(
        pre.suite, p, PREAMBLE_SIZE, key.priv, key.pub, e.priv, e.pub,
        p + PREAMBLE_SIZE + 2, get_u16(p + PREAMBLE_SIZE), payload1, &got,
        payload2, m, answer + 2, &c.rx, &c.tx, (<PreAuth*>c.held).hash,
    )
    sodium.memzero(e, sizeof(Ephemeral))
    if length < 0:
        stat_add(loop, N_HANDSHAKES_FAILED, 1)
        doom_quiet(loop, c, R_SHAKE_FAILED, 0)
        return
    put_u16(answer, <uint16_t>length)
    c.suite = pre.suite
    c.tx_minute = loop.now_minute
    if pre.flags & PREAMBLE_ZSTD and loop.set.compress:
        c.flags |= F_ZSTD
    set_state(loop, c, SHAKEN)
    stat_add(loop, N_HANDSHAKES, 1)
    send_raw(loop, c, answer, 2 + <size_t>length, True)
    stage_end(loop, S_SHAKE, t, 1)


cdef int shake_later(Loop* loop, Conn* c) noexcept nogil:
    if loop.shake_count == loop.set.handshake_queue:
        return -1
    loop.shake_ring[(loop.shake_head + loop.shake_count) % loop.set.handshake_queue] = conn_id(loop, c)
    loop.shake_count += 1
    set_state(loop, c, WAITING)
    return 0


cdef void shake_waiting(Loop* loop) noexcept nogil:
    cdef Conn* c
    while loop.shake_count and qw_clock_ns(0) < loop.shake_until_ns:
        c = conn_find(loop, loop.shake_ring[loop.shake_head])
        loop.shake_head = (loop.shake_head + 1) % loop.set.handshake_queue
        loop.shake_count -= 1
        if c != NULL and c.state == WAITING and c.in_buf != NULL:
            shake(loop, c, in_data(c.in_buf), c.in_buf.len)
            c.in_buf.len = 0
            if c.in_buf.ws == NULL:
                in_drop(loop, c)


# login ---------------------------------------------------------------------------------------------------------

cdef void _emit_closed(Loop* loop, uint64_t id, Session* s, int code) noexcept nogil:
    cdef const void* strings[2]
    cdef uint32_t sizes[2]
    strings[0] = session_user(s)
    strings[1] = session_device(s)
    sizes[0] = s.user_len
    sizes[1] = s.device_len
    event_push(loop, EV_CLOSED, id, 0, <uint32_t>code, 0, 0, strings, sizes, 2)


cdef void set_interval(Loop* loop, Conn* c, unsigned long long interval_s) noexcept nogil:
    """The server waits 1.5 x the announced interval and the grace."""
    cdef uint64_t limit = loop.set.max_timeout_s
    cdef uint64_t timeout = limit
    if interval_s < limit:
        timeout = interval_s + (interval_s + 1) // 2 + loop.set.grace_s
    c.timeout_s = <uint16_t>(timeout if timeout < limit else limit)
    touch(loop, c)


cdef void login(Loop* loop, Conn* c, Session* s, SharedBuf* auth_ok, unsigned long long id) noexcept nogil:
    cdef PreAuth* pre
    if c == NULL or c.state != ASKED:
        stat_add(loop, N_STALE_COMMANDS, 1)
        _emit_closed(loop, id, s, 0)
        free(s)
        buf_unref(auth_ok)
        return
    pre = <PreAuth*>c.held
    c.held = s
    s.filled = <uint16_t>(loop.now_ns >> 26)
    s.tokens = <uint16_t>loop.set.inbound_burst
    s.policy_rev = <uint16_t>loop.policy_rev
    if user_add(loop, c) < 0:
        c.held = pre
        free(s)
        buf_unref(auth_ok)
        close_with(loop, c, R_MEMORY, CLOSE_OVERLOADED, NULL, 0)
        return
    sodium.memzero(pre, sizeof(PreAuth))
    free(pre)
    stat_add(loop, L_PREAUTH, -1)
    stat_add(loop, L_SESSIONS, 1)
    stat_add(loop, N_LOGINS, 1)
    set_state(loop, c, LIVE)
    set_interval(loop, c, loop.ping_interval_s)
    enqueue(loop, c, auth_ok)
    buf_unref(auth_ok)
    if loop.policy != NULL:
        enqueue(loop, c, loop.policy)


cdef void _session_end(Loop* loop, Conn* c, int code) noexcept nogil:
    cdef Session* s = session_of(c)
    topics_leave_all(loop, c)
    user_remove(loop, c)
    _emit_closed(loop, conn_id(loop, c), s, code)
    count_code(loop, code)
    free(s)
    c.held = NULL
    stat_add(loop, L_SESSIONS, -1)


# end -----------------------------------------------------------------------------------------------------------

cdef int _ws_code(int code) noexcept nogil:
    """RFC 6455 codes for ours: the 4000 range is the application's, the rest is told as fits."""
    if code >= 4000 or code == 1000 or code == 1001:
        return code
    if code >= 3000:
        return 1001
    return 1013 if code >= 2000 else 1000


cdef void finish(Loop* loop, Conn* c) noexcept nogil:
    cdef uint8_t bye[4]
    if c.out != NULL or c.state != CLOSING:
        return
    if c.flags & F_WS:
        bye[0] = 0x88
        bye[1] = 2
        put_u16(bye + 2, <uint16_t>_ws_code(c.timeout_s))
        send_raw(loop, c, bye, 4, False)
        if c.state != CLOSING:
            return
    qw_shutdown_write(c.fd)
    set_state(loop, c, LINGER)
    loop.deadlines[c - loop.conns] = loop.now_s + LINGER_S


cdef void _part(Loop* loop, Conn* c, int was, int code, const uint8_t* text, size_t n, bint forget) noexcept nogil:
    """The polite end of a connection whose session, if any, ends now."""
    cdef uint8_t head[10]
    cdef SharedBuf* b
    if was == LIVE:
        _session_end(loop, c, code)
    if forget:
        queue_clear(loop, c, False)
    set_state(loop, c, CLOSING)
    loop.deadlines[c - loop.conns] = loop.now_s + CLOSING_S
    c.timeout_s = <uint16_t>code
    b = buf_frame(FRAME_CLOSE, head, <size_t>uv_put(head, <uint64_t>code), text, n, NULL, 0)
    if b != NULL:
        enqueue(loop, c, b)
        buf_unref(b)
    flush_conn(loop, c)
    finish(loop, c)


cdef void close_with(Loop* loop, Conn* c, int reason, int code, const uint8_t* text, size_t n) noexcept nogil:
    if c.state < SHAKEN or c.state > LIVE:
        if c.state < SHAKEN:
            doom_quiet(loop, c, reason, code)
        return
    loop.reasons[reason] += 1
    _part(loop, c, c.state, code, text, n, False)


cdef void reap(Loop* loop) noexcept nogil:
    cdef uint32_t i = 0
    cdef Doom d
    cdef Conn* c
    while i < loop.n_dooms:
        d = loop.dooms[i]
        i += 1
        c = &loop.conns[d.slot]
        if d.was == CLOSING or d.was == LINGER:
            _release(loop, c)
            continue
        loop.reasons[d.reason] += 1
        if not d.quiet and d.was >= SHAKEN and not c.flags & F_LOST:
            _part(loop, c, d.was, d.code, NULL, 0, True)
            continue
        if d.was == LIVE:
            _session_end(loop, c, d.code)
        _release(loop, c)
    loop.n_dooms = 0


cdef void expire(Loop* loop, Conn* c) noexcept nogil:
    if c.state == LIVE:
        doom(loop, c, R_IDLE, CLOSE_IDLE_TIMEOUT)
    elif c.state == CLOSING or c.state == LINGER:
        doom_quiet(loop, c, R_CLOSE_STALLED, 0)
    elif c.state == SHAKEN or c.state == ASKED:
        doom(loop, c, R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT)
    elif c.state != FREE:
        doom_quiet(loop, c, R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT)


cdef void release_all(Loop* loop) noexcept nogil:
    cdef uint32_t slot
    cdef Conn* c
    reap(loop)
    for slot in range(loop.high):
        c = &loop.conns[slot]
        if c.state == FREE:
            continue
        if c.state < CLOSING:
            loop.reasons[R_STOPPED] += 1
        if c.state == LIVE:
            _session_end(loop, c, CLOSE_DRAINING)
        _release(loop, c)
