from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from cmodules cimport layout
from gateway_core.leaf.stats cimport L_IN_BUFFERS, L_IN_BYTES, L_WS_STATES, stat_add

LAYOUT = layout()

cdef enum:
    RAW_MOST = 255  # what InBuf.raw can say


cdef size_t in_copy(const InBuf* b, uint8_t* to, size_t* raw) noexcept nogil:
    memcpy(to, in_data(<InBuf*>b), b.len + b.raw)
    raw[0] = b.raw
    return b.len


cdef void _release(InBuf** own, Stats* stats) noexcept nogil:
    if own[0] != NULL:
        stat_add(stats, L_IN_BUFFERS, -1)
        stat_add(stats, L_IN_BYTES, -<long>own[0].cap)
        free(own[0])
        own[0] = NULL


cdef int _replace(InBuf** own, Stats* stats, size_t n) noexcept nogil:
    """A buffer for exactly n bytes; what it held is lost, the place in the WebSocket's frames is kept."""
    cdef InBuf* b = <InBuf*>malloc(sizeof(InBuf) + n)
    if b == NULL:
        return -1
    if own[0] != NULL:
        b[0] = own[0][0]
    else:
        memset(b, 0, sizeof(InBuf))
    _release(own, stats)
    b.len = 0
    b.raw = 0
    b.cap = <uint32_t>n
    own[0] = b
    stat_add(stats, L_IN_BUFFERS, 1)
    stat_add(stats, L_IN_BYTES, <long>n)
    return 0


cdef bint _fits(const InBuf* b, size_t n, size_t slack) noexcept nogil:
    if b == NULL or b.cap < n:
        return False
    if n == 0 or slack == IN_EXACT:
        return b.cap == n
    return b.cap < n + slack


cdef int in_replace(InBuf** own, Stats* stats, const uint8_t* p, size_t n, size_t raw, size_t slack) noexcept nogil:
    if n + raw == 0 and (own[0] == NULL or not own[0].websocket):
        _release(own, stats)
        return 0
    if not _fits(own[0], n + raw, slack) and _replace(own, stats, n + raw) < 0:
        return -1
    if n + raw:
        memcpy(in_data(own[0]), p, n + raw)
    own[0].len = <uint32_t>n
    own[0].raw = <uint8_t>raw
    return 0


cdef void in_done(InBuf** own, Stats* stats) noexcept nogil:
    cdef InBuf* b = own[0]
    cdef uint8_t raw[RAW_MOST]
    if b == NULL or not b.websocket:
        _release(own, stats)
        return
    memcpy(raw, in_data(b) + b.len, b.raw)
    if in_replace(own, stats, raw, 0, b.raw, IN_EXACT) < 0:  # no memory for a smaller one
        memmove(in_data(b), raw, b.raw)
        b.len = 0


cdef int in_websocket(InBuf** own, Stats* stats) noexcept nogil:
    if _replace(own, stats, 0) < 0:
        return -1
    own[0].websocket = 1
    stat_add(stats, L_WS_STATES, 1)
    return 0


cdef void in_drop(InBuf** own, Stats* stats) noexcept nogil:
    if own[0] != NULL and own[0].websocket:
        stat_add(stats, L_WS_STATES, -1)
    _release(own, stats)
