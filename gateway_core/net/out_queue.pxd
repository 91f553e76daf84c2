"""What waits to be sent to one connection: references to shared frames, and at most one sealed tail.

    tail (sealed, goes first) | ring[head] ring[head+1] ...      NULL in the ring: dropped

Verdicts: NORMAL and then HIGH events are dropped oldest first above queue_event_bytes; whatever else meets
queue_hard_bytes closes the connection (SLOW_CONSUMER).
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from gateway_core.types cimport Conn, Loop, OutQueue, SharedBuf

cdef enum:
    Q_OK = 1
    Q_DROPPED = 0
    Q_FULL = -1  # hard limit
    Q_MEMORY = -2

# Adds a reference of its own on Q_OK. Marks the connection dirty.
cdef int queue_push(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil
cdef SharedBuf* queue_pop(Loop* loop, OutQueue* q) noexcept nogil  # the reference passes to the caller; NULL = empty
cdef SharedBuf* queue_peek(OutQueue* q) noexcept nogil
cdef int queue_tail(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil  # keeps sealed bytes; 0 or -1
cdef void queue_tail_done(Loop* loop, OutQueue* q) noexcept nogil
cdef void queue_settle(Loop* loop, Conn* c) noexcept nogil  # gives the queue back when nothing waits
cdef void queue_clear(Loop* loop, Conn* c, bint tail_too) noexcept nogil  # drops what waits
cdef void queue_pool_free(Loop* loop) noexcept nogil
cdef void mark_dirty(Loop* loop, Conn* c) noexcept nogil
cdef int slots_push(Loop* loop, uint32_t** at, uint32_t* len, uint32_t* cap, uint32_t slot) noexcept nogil
