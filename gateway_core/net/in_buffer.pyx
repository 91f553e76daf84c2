from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from gateway_core.leaf.stats cimport L_IN_BUFFERS, L_IN_BYTES, L_WS_STATES, stat_add
from gateway_core.types cimport F_WS, LIVE, Conn, InBuf, Loop, in_data, layout_mark

LAYOUT = layout_mark()

cdef enum:
    SLACK = 256  # bytes a live connection's buffer may be too large; before login it fits exactly


cdef size_t in_restore(Loop* loop, Conn* c, uint8_t* to, size_t* raw) noexcept nogil:
    cdef InBuf* b = c.in_buf
    raw[0] = 0
    if b == NULL or b.len + b.raw == 0:
        return 0
    memcpy(to, in_data(b), b.len + b.raw)
    raw[0] = b.raw
    return b.len


cdef void _release(Loop* loop, Conn* c) noexcept nogil:
    if c.in_buf != NULL:
        stat_add(loop, L_IN_BUFFERS, -1)
        stat_add(loop, L_IN_BYTES, -<long>c.in_buf.cap)
        free(c.in_buf)
        c.in_buf = NULL


cdef int _replace(Loop* loop, Conn* c, size_t n) noexcept nogil:
    """A buffer for exactly n bytes; what it held is lost, the place in the WebSocket's frames is kept."""
    cdef InBuf* b = <InBuf*>malloc(sizeof(InBuf) + n)
    if b == NULL:
        return -1
    if c.in_buf != NULL:
        b[0] = c.in_buf[0]
    else:
        memset(b, 0, sizeof(InBuf))
    _release(loop, c)
    b.len = 0
    b.raw = 0
    b.cap = <uint32_t>n
    c.in_buf = b
    stat_add(loop, L_IN_BUFFERS, 1)
    stat_add(loop, L_IN_BYTES, <long>n)
    return 0


cdef bint _fits(Conn* c, size_t n) noexcept nogil:
    if c.in_buf == NULL or c.in_buf.cap < n:
        return False
    if n == 0 or c.state < LIVE:
        return c.in_buf.cap == n
    return c.in_buf.cap < n + SLACK


cdef int in_keep(Loop* loop, Conn* c, const uint8_t* p, size_t n, size_t raw) noexcept nogil:
    if n + raw == 0 and not c.flags & F_WS:
        _release(loop, c)
        return 0
    if not _fits(c, n + raw) and _replace(loop, c, n + raw) < 0:
        return -1
    if n + raw:
        memcpy(in_data(c.in_buf), p, n + raw)
    c.in_buf.len = <uint32_t>n
    c.in_buf.raw = <uint8_t>raw
    return 0


cdef void in_done(Loop* loop, Conn* c) noexcept nogil:
    cdef InBuf* b = c.in_buf
    if not c.flags & F_WS:
        _release(loop, c)
        return
    memmove(in_data(b), in_data(b) + b.len, b.raw)
    b.len = 0


cdef int in_websocket(Loop* loop, Conn* c) noexcept nogil:
    if _replace(loop, c, 0) < 0:
        return -1
    c.flags |= F_WS
    stat_add(loop, L_WS_STATES, 1)
    return 0


cdef void in_drop(Loop* loop, Conn* c) noexcept nogil:
    if c.in_buf != NULL and c.flags & F_WS:
        stat_add(loop, L_WS_STATES, -1)
    _release(loop, c)
