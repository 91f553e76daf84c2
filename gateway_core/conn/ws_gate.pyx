from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint8_t
from libc.string cimport memcpy, memmove

from cmodules cimport layout
from frame.codes cimport TOO_BIG
from frame.constants cimport CLOSE_NORMAL, CLOSE_PROTOCOL_ERROR, CLOSE_RATE_LIMITED, UPGRADE_MAX
from frame.http_upgrade cimport (
    UPGRADE_RESPONSE_BYTES,
    Upgrade,
    upgrade_later_put,
    upgrade_parse,
    upgrade_refusal_put,
    upgrade_response_put,
)
from frame.record cimport put_u16
from frame.websocket cimport (
    WS_CLOSE,
    WS_CONTROL_MAX,
    WS_HEADER_BYTES,
    WS_MASK_BYTES,
    WS_NORMAL,
    WS_NO_CODE,
    WS_PING,
    WS_PONG,
    WS_PROTOCOL_ERROR,
    WS_TEXT,
    WS_TOO_BIG,
    WS_UNSUPPORTED,
    WsHeader,
    ws_close_parse,
    ws_header_parse,
    ws_header_put,
    ws_mask,
    ws_sequence,
)
from gateway_core.conn.session cimport conn_let_in, finish
from gateway_core.conn.states cimport BEFORE_LOGIN, DOOMED, E_ENDED, E_GREETED, LIVE, state_in
from gateway_core.conn.table cimport F_WS, conn_move, session_of
from gateway_core.conn.transport cimport doom_quiet, send_raw
from gateway_core.leaf.admission cimport KNOWN, NEWCOMER, Wait
from gateway_core.leaf.stats cimport (
    N_RATE_LIMITED,
    R_MEMORY,
    R_RATE,
    R_UPGRADE_MALFORMED,
    R_UPGRADE_REFUSED,
    R_WS_CLOSED,
    R_WS_MALFORMED,
    R_WS_TEXT,
    stat_add,
)
from gateway_core.leaf.token_bucket cimport bucket_take
from gateway_core.net.in_buffer cimport InBuf, in_websocket

LAYOUT = layout()

cdef enum:
    BAD_REQUEST = 400
    SWITCHING = 101
    PAYLOAD_MAX = 1 << 24  # of one frame; it streams through, so this costs no memory
    PONGS_BYTES = 1024  # answers to the pings of one read go out together
    IDLE_BEFORE_LOGIN = 16  # frames that carry nothing: control frames and empty ones


cdef struct Answers:  # of one read
    uint32_t idle  # frames that carried nothing
    uint32_t n
    uint8_t at[PONGS_BYTES]


cdef ptrdiff_t ws_upgrade(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef Upgrade u
    cdef uint8_t answer[UPGRADE_RESPONSE_BYTES]
    cdef Wait wait
    cdef ptrdiff_t used = upgrade_parse(p, n, UPGRADE_MAX, &u)
    if used == 0:
        return 0
    if used < 0:
        send_raw(loop, c, answer, upgrade_refusal_put(answer, BAD_REQUEST), False)
        doom_quiet(loop, c, R_UPGRADE_MALFORMED, 0)
        return -1
    if u.status != SWITCHING:
        loop.stats.reasons[R_UPGRADE_REFUSED] += 1
        send_raw(loop, c, answer, upgrade_refusal_put(answer, u.status), False)
        if conn_move(&loop.table, c, E_ENDED):
            finish(loop, c)
        return -1
    if not conn_let_in(loop, c, KNOWN if u.known else NEWCOMER, &wait):
        loop.stats.reasons[R_UPGRADE_REFUSED] += 1
        send_raw(loop, c, answer, upgrade_later_put(answer, (wait.retry_ms + 999) // 1000), False)
        if conn_move(&loop.table, c, E_ENDED):
            finish(loop, c)
        return -1
    send_raw(loop, c, answer, upgrade_response_put(answer, &u), False)
    if in_websocket(&c.in_buf, &loop.stats) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)
    if not conn_move(&loop.table, c, E_GREETED):  # doomed
        return -1
    c.flags |= F_WS
    return used


cdef ptrdiff_t _fail(Loop* loop, Conn* c, int ws_code, int reason, int code) noexcept nogil:
    """Answers with a WebSocket close and ends the connection."""
    cdef uint8_t bye[WS_HEADER_BYTES]
    cdef size_t m = ws_header_put(bye, WS_CLOSE, sizeof(uint16_t))
    put_u16(bye + m, <uint16_t>ws_code)
    if c.out == NULL or c.out.tail == NULL:
        send_raw(loop, c, bye, m + sizeof(uint16_t), False)
    doom_quiet(loop, c, reason, code)
    return -1


cdef void _answer(Loop* loop, Conn* c, Answers* answers) noexcept nogil:
    # behind a sealed tail no control frame may stand; the peer reads nothing then anyway
    if answers.n and c.state != DOOMED and (c.out == NULL or c.out.tail == NULL):
        send_raw(loop, c, answers.at, answers.n, False)
    answers.n = 0


cdef int _control(Loop* loop, Conn* c, int opcode, const uint8_t* p, size_t n, Answers* answers) noexcept nogil:
    """A whole control frame; -1: doomed."""
    cdef uint16_t code = 0
    if opcode == WS_CLOSE:
        if ws_close_parse(p, n, &code) < 0:
            return <int>_fail(loop, c, code, R_WS_MALFORMED, CLOSE_PROTOCOL_ERROR)
        return <int>_fail(loop, c, WS_NORMAL if code == WS_NO_CODE else code, R_WS_CLOSED, CLOSE_NORMAL)
    if opcode == WS_PING:
        if answers.n + WS_HEADER_BYTES + n > PONGS_BYTES:
            _answer(loop, c, answers)
        answers.n += <uint32_t>ws_header_put(answers.at + answers.n, WS_PONG, n)
        memcpy(answers.at + answers.n, p, n)
        answers.n += <uint32_t>n
    return -1 if c.state == DOOMED else 0


cdef bint _charge(Loop* loop, Conn* c, uint32_t idle) noexcept nogil:
    """Frames that carry nothing cost what others cost; before login there are few. 0: doomed."""
    cdef InBuf* b = c.in_buf
    if idle == 0 or c.state == DOOMED:
        return c.state != DOOMED
    if c.state == LIVE:
        if bucket_take(&session_of(c).inbound, &loop.config.inbound, loop.now_ns, idle):
            return True
    elif state_in(c.state, BEFORE_LOGIN):
        if b.idle + idle <= IDLE_BEFORE_LOGIN:
            b.idle += <uint8_t>idle
            return True
    else:
        return True
    stat_add(&loop.stats, N_RATE_LIMITED, 1)
    doom_quiet(loop, c, R_RATE, CLOSE_RATE_LIMITED)
    return False


cdef ptrdiff_t _frame(Loop* loop, Conn* c, uint8_t* p, size_t n, Answers* answers) noexcept nogil:
    """The header of a data frame, or a control frame as a whole. > 0 consumed, 0 more is needed, -1 doomed."""
    cdef InBuf* b = c.in_buf
    cdef WsHeader h
    cdef ptrdiff_t used = ws_header_parse(p, n, PAYLOAD_MAX, &h)
    if used == 0:
        return 0
    if used < 0:
        return _fail(loop, c, WS_TOO_BIG if used == TOO_BIG else WS_PROTOCOL_ERROR, R_WS_MALFORMED, CLOSE_PROTOCOL_ERROR)
    if not h.masked or ws_sequence(&b.message, &h) < 0:
        return _fail(loop, c, WS_PROTOCOL_ERROR, R_WS_MALFORMED, CLOSE_PROTOCOL_ERROR)
    if h.opcode == WS_TEXT:
        return _fail(loop, c, WS_UNSUPPORTED, R_WS_TEXT, CLOSE_PROTOCOL_ERROR)
    if h.opcode < WS_CLOSE:
        b.left = <uint32_t>h.payload_len
        b.at = 0
        memcpy(b.mask, h.mask, WS_MASK_BYTES)
        answers.idle += h.payload_len == 0
        return used
    if n - <size_t>used < h.payload_len:
        return 0
    ws_mask(p + used, <size_t>h.payload_len, h.mask, 0)
    answers.idle += 1
    if _control(loop, c, h.opcode, p + used, <size_t>h.payload_len, answers) < 0:
        return -1
    return used + <ptrdiff_t>h.payload_len


cdef ptrdiff_t ws_strip(Loop* loop, Conn* c, uint8_t* p, size_t n, size_t* raw) noexcept nogil:
    cdef InBuf* b = c.in_buf
    cdef size_t r = 0, w = 0, m
    cdef ptrdiff_t used
    cdef Answers answers
    answers.idle = 0
    answers.n = 0
    while r < n:
        if b.left == 0:
            used = _frame(loop, c, p + r, n - r, &answers)
            if used < 0:
                return -1
            if used == 0:
                break
            r += <size_t>used
            continue
        m = n - r if n - r < b.left else <size_t>b.left
        ws_mask(p + r, m, b.mask, b.at)
        memmove(p + w, p + r, m)
        w += m
        r += m
        b.left -= <uint32_t>m
        b.at = <uint8_t>((b.at + m) & 3)
    _answer(loop, c, &answers)
    if not _charge(loop, c, answers.idle):
        return -1
    raw[0] = n - r
    memmove(p + w, p + r, n - r)
    return <ptrdiff_t>w
