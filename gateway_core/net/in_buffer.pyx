from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from gateway_core.leaf.stats cimport L_IN_BUFFERS, L_IN_BYTES, L_WS_STATES, stat_add
from gateway_core.types cimport Conn, InBuf, Loop, WsState, in_data, layout_mark

LAYOUT = layout_mark()

cdef enum:
    GRAIN = 64


cdef size_t in_restore(Loop* loop, Conn* c, uint8_t* to) noexcept nogil:
    if c.in_buf == NULL or c.in_buf.len == 0:
        return 0
    memcpy(to, in_data(c.in_buf), c.in_buf.len)
    return c.in_buf.len


cdef void _release(Loop* loop, Conn* c) noexcept nogil:
    if c.in_buf != NULL:
        stat_add(loop, L_IN_BUFFERS, -1)
        stat_add(loop, L_IN_BYTES, -<long>c.in_buf.cap)
        free(c.in_buf)
        c.in_buf = NULL


cdef int _replace(Loop* loop, Conn* c, size_t n) noexcept nogil:
    """A buffer for exactly about n bytes; what it held is lost, the WsState is kept."""
    cdef size_t cap = (n + GRAIN - 1) & ~<size_t>(GRAIN - 1)
    cdef WsState* ws = c.in_buf.ws if c.in_buf != NULL else NULL
    cdef InBuf* b = <InBuf*>malloc(sizeof(InBuf) + cap)
    if b == NULL:
        return -1
    _release(loop, c)
    b.ws = ws
    b.len = 0
    b.cap = <uint32_t>cap
    c.in_buf = b
    stat_add(loop, L_IN_BUFFERS, 1)
    stat_add(loop, L_IN_BYTES, <long>cap)
    return 0


cdef int in_keep(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    if n == 0 and c.in_buf == NULL:
        return 0
    if n == 0 and c.in_buf.ws == NULL:
        _release(loop, c)
        return 0
    if c.in_buf == NULL or c.in_buf.cap < n or c.in_buf.cap >= n + 4 * GRAIN or (n == 0 and c.in_buf.cap):
        if _replace(loop, c, n) < 0:
            return -1
    if n:
        memcpy(in_data(c.in_buf), p, n)
    c.in_buf.len = <uint32_t>n
    return 0


cdef int in_websocket(Loop* loop, Conn* c) noexcept nogil:
    cdef WsState* ws = <WsState*>calloc(1, sizeof(WsState))
    if ws == NULL:
        return -1
    if c.in_buf == NULL and _replace(loop, c, 0) < 0:
        free(ws)
        return -1
    c.in_buf.ws = ws
    c.in_buf.len = 0
    stat_add(loop, L_WS_STATES, 1)
    return 0


cdef void in_drop(Loop* loop, Conn* c) noexcept nogil:
    if c.in_buf == NULL:
        return
    if c.in_buf.ws != NULL:
        stat_add(loop, L_WS_STATES, -1)
        free(c.in_buf.ws)
    _release(loop, c)
