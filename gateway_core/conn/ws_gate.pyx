from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint8_t
from libc.string cimport memcpy, memmove

from frame.constants cimport CLOSE_NORMAL, CLOSE_PROTOCOL_ERROR, UPGRADE_MAX
from frame.http_upgrade cimport Upgrade, upgrade_parse, upgrade_refusal_put, upgrade_response_put
from frame.record cimport put_u16
from frame.websocket cimport (
    WS_CLOSE,
    WS_PING,
    WS_TEXT,
    WsHeader,
    ws_close_parse,
    ws_header_parse,
    ws_header_put,
    ws_mask,
    ws_sequence,
)
from gateway_core.conn.session cimport finish
from gateway_core.conn.transport cimport doom_quiet, send_raw
from gateway_core.leaf.conn_table cimport set_state
from gateway_core.leaf.stats cimport (
    R_MEMORY,
    R_UPGRADE_MALFORMED,
    R_UPGRADE_REFUSED,
    R_WS_CLOSED,
    R_WS_MALFORMED,
    R_WS_TEXT,
)
from gateway_core.net.in_buffer cimport in_websocket
from gateway_core.types cimport CLOSING, DOOMED, F_WS, HELLO, Conn, Loop, WsState, layout_mark

LAYOUT = layout_mark()

cdef enum:
    PAYLOAD_MAX = 1 << 24  # of one frame; it streams through, so this costs no memory


cdef ptrdiff_t ws_upgrade(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef Upgrade u
    cdef uint8_t answer[256]
    cdef ptrdiff_t used = upgrade_parse(p, n, UPGRADE_MAX, &u)
    if used == 0:
        return 0
    if used < 0:
        send_raw(loop, c, answer, upgrade_refusal_put(answer, 400), False)
        doom_quiet(loop, c, R_UPGRADE_MALFORMED, 0)
        return -1
    if u.status != 101:
        loop.reasons[R_UPGRADE_REFUSED] += 1
        send_raw(loop, c, answer, upgrade_refusal_put(answer, u.status), False)
        if c.state != DOOMED:
            set_state(loop, c, CLOSING)
            finish(loop, c)
        return -1
    send_raw(loop, c, answer, upgrade_response_put(answer, &u), False)
    if in_websocket(loop, c) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)
    if c.state == DOOMED:
        return -1
    c.flags |= F_WS
    set_state(loop, c, HELLO)
    return used


cdef ptrdiff_t _fail(Loop* loop, Conn* c, int ws_code, int reason, int code) noexcept nogil:
    """Answers with a WebSocket close and ends the connection."""
    cdef uint8_t bye[4]
    bye[0] = 0x80 | WS_CLOSE
    bye[1] = 2
    put_u16(bye + 2, <uint16_t>ws_code)
    if c.out == NULL or c.out.tail == NULL:
        send_raw(loop, c, bye, 4, False)
    doom_quiet(loop, c, reason, code)
    return -1


cdef int _control(Loop* loop, Conn* c, WsState* ws) noexcept nogil:
    cdef uint8_t answer[140]
    cdef uint16_t code = 0
    cdef size_t n
    if ws.opcode == WS_CLOSE:
        if ws_close_parse(ws.control, ws.control_len, &code) < 0:
            return <int>_fail(loop, c, code, R_WS_MALFORMED, CLOSE_PROTOCOL_ERROR)
        return <int>_fail(loop, c, 1000 if code == 1005 else code, R_WS_CLOSED, CLOSE_NORMAL)
    # behind a sealed tail no control frame may stand; the peer reads nothing then anyway
    if ws.opcode == WS_PING and (c.out == NULL or c.out.tail == NULL):
        n = ws_header_put(answer, 10, ws.control_len)
        memcpy(answer + n, ws.control, ws.control_len)
        send_raw(loop, c, answer, n + ws.control_len, False)
    ws.control_len = 0
    return -1 if c.state == DOOMED else 0


cdef ptrdiff_t _header(Loop* loop, Conn* c, WsState* ws, const uint8_t* p, size_t n, WsHeader* h) noexcept nogil:
    """Bytes of p that belong to the header; h.opcode is 255 while it is incomplete. -1: doomed."""
    cdef ptrdiff_t used
    cdef size_t fed = 0
    h.opcode = 255
    if ws.head_len == 0:
        used = ws_header_parse(p, n, PAYLOAD_MAX, h)
        if used > 0:
            return used
        h.opcode = 255
    while fed < n:
        ws.head[ws.head_len] = p[fed]
        ws.head_len += 1
        fed += 1
        used = ws_header_parse(ws.head, ws.head_len, PAYLOAD_MAX, h)
        if used > 0:
            ws.head_len = 0
            return <ptrdiff_t>fed
        h.opcode = 255
        if used < 0 or ws.head_len == sizeof(ws.head):
            return _fail(loop, c, 1009 if used == -2 else 1002, R_WS_MALFORMED, CLOSE_PROTOCOL_ERROR)
    return <ptrdiff_t>fed


cdef int _begin(Loop* loop, Conn* c, WsState* ws, const WsHeader* h) noexcept nogil:
    """A header is complete; -1: doomed."""
    if not h.masked or ws_sequence(&ws.message, h) < 0:
        return <int>_fail(loop, c, 1002, R_WS_MALFORMED, CLOSE_PROTOCOL_ERROR)
    if h.opcode == WS_TEXT:
        return <int>_fail(loop, c, 1003, R_WS_TEXT, CLOSE_PROTOCOL_ERROR)
    ws.left = h.payload_len
    ws.at = 0
    memcpy(ws.mask, h.mask, 4)
    ws.opcode = h.opcode
    if ws.left == 0 and ws.opcode >= WS_CLOSE:
        return _control(loop, c, ws)
    return 0


cdef ptrdiff_t ws_strip(Loop* loop, Conn* c, uint8_t* p, size_t n) noexcept nogil:
    cdef WsState* ws = c.in_buf.ws
    cdef WsHeader h
    cdef size_t r = 0, w = 0, m
    cdef ptrdiff_t used
    while r < n:
        if ws.left == 0:
            used = _header(loop, c, ws, p + r, n - r, &h)
            if used < 0:
                return -1
            r += <size_t>used
            if h.opcode != 255 and _begin(loop, c, ws, &h) < 0:
                return -1
            continue
        m = n - r if n - r < ws.left else <size_t>ws.left
        ws_mask(p + r, m, ws.mask, ws.at)
        if ws.opcode < WS_CLOSE:
            memmove(p + w, p + r, m)
            w += m
        else:
            memcpy(ws.control + ws.control_len, p + r, m)
            ws.control_len += <uint8_t>m
        ws.left -= m
        ws.at += m
        r += m
        if ws.left == 0 and ws.opcode >= WS_CLOSE and _control(loop, c, ws) < 0:
            return -1
    return <ptrdiff_t>w
