"""What a connection owns of its input: nothing, or the bytes of one unfinished record.

    len bytes of a record | raw bytes of a WebSocket frame that carries no part of it yet

The owner keeps one `InBuf*`, NULL while it has nothing. A WebSocket keeps its InBuf for life: it remembers the place
in the frames.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from frame.websocket cimport WS_MASK_BYTES
from gateway_core.leaf.stats cimport Stats

cdef enum:
    IN_EXACT = 0  # `slack` of in_keep: the buffer fits its bytes exactly
    IN_SLACK = 256  # it may be so much too large, which saves a malloc

cdef struct InBuf:  # the bytes follow the struct
    uint32_t len
    uint32_t cap
    # of a WebSocket
    uint32_t left  # payload bytes of the current data frame still to come
    uint8_t mask[WS_MASK_BYTES]
    uint8_t at  # where in the mask the next of them falls
    uint8_t message  # opcode of the fragmented message under way
    uint8_t raw  # bytes behind len: a frame header, or a control frame, that is not whole
    uint8_t websocket
    uint8_t idle  # frames before login that carried nothing

cdef size_t in_copy(const InBuf* b, uint8_t* to, size_t* raw) noexcept nogil  # in_restore of what is there
cdef int in_replace(InBuf** own, Stats* stats, const uint8_t* p, size_t n, size_t raw, size_t slack) noexcept nogil
cdef void in_done(InBuf** own, Stats* stats) noexcept nogil  # the record is used up, the raw bytes stay
cdef int in_websocket(InBuf** own, Stats* stats) noexcept nogil  # from now on a WebSocket, nothing kept; 0 or -1
cdef void in_drop(InBuf** own, Stats* stats) noexcept nogil  # everything; nothing may be read any more


# Copies the kept bytes; returns the record's count, *raw is that of those behind them.
cdef inline size_t in_restore(InBuf* b, uint8_t* to, size_t* raw) noexcept nogil:
    raw[0] = 0
    return in_copy(b, to, raw) if b != NULL else 0


# Replaces what is kept; 0, or -1 without memory.
cdef inline int in_keep(InBuf** own, Stats* stats, const uint8_t* p, size_t n, size_t raw, size_t slack) noexcept nogil:
    if own[0] == NULL and n + raw == 0:  # the common case: whole records came, nothing is owned
        return 0
    return in_replace(own, stats, p, n, raw, slack)


cdef inline uint8_t* in_data(InBuf* b) noexcept nogil:
    return <uint8_t*>b + sizeof(InBuf)
