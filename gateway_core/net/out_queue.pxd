"""What waits to be sent to one connection: references to shared frames, and at most one sealed tail.

    tail (sealed, goes first) | ring[head] ring[head+1] ...      NULL in the ring: dropped

The owner keeps one `OutQueue*`, NULL while nothing waits; idle ones rest in the loop's pool.

Verdicts: above event_bytes notices, NORMAL and then HIGH events are dropped, oldest first, for what is not below them;
whatever else meets hard_bytes is refused (Q_FULL), which closes the connection (SLOW_CONSUMER).
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.leaf.stats cimport Stats

cdef enum:
    Q_OK = 1
    Q_DROPPED = 0
    Q_FULL = -1  # hard limit
    Q_MEMORY = -2

cdef enum:
    QUEUE_INLINE = 8  # references without a ring of their own

cdef struct OutQueue:
    SharedBuf** ring
    OutQueue* next  # in the pool
    uint8_t* tail  # sealed bytes the socket did not take: written before anything else, never sealed again
    uint32_t tail_len
    uint32_t tail_at
    uint32_t head
    uint32_t count
    uint32_t cap  # power of two
    uint32_t bytes  # of referenced plaintext
    SharedBuf* inline_ring[QUEUE_INLINE]
    uint8_t soft  # above the soft limit, counted
    uint8_t low  # there may be DECISION or NOTICE among them

cdef struct QueueLimits:  # bytes of referenced plaintext of one queue
    uint32_t soft_bytes
    uint32_t event_bytes
    uint32_t hard_bytes

cdef struct QueuePool:
    OutQueue* idle
    uint32_t n_idle
    QueueLimits limits
    Stats* stats

cdef void queues_init(QueuePool* pool, const QueueLimits* limits, Stats* stats) noexcept nogil
cdef void queues_free(QueuePool* pool) noexcept nogil  # of the idle ones
cdef int queue_push(QueuePool* pool, OutQueue** own, SharedBuf* b) noexcept nogil  # Q_*; on Q_OK a reference is added
cdef SharedBuf* queue_pop(QueuePool* pool, OutQueue* q) noexcept nogil  # the reference passes to the caller; NULL = empty
cdef int queue_tail(QueuePool* pool, OutQueue** own, const uint8_t* p, size_t n) noexcept nogil  # keeps a copy; 0 or -1
cdef void queue_tail_done(QueuePool* pool, OutQueue* q) noexcept nogil
cdef void queue_settle(QueuePool* pool, OutQueue** own) noexcept nogil  # gives the queue back when nothing waits
cdef void queue_clear(QueuePool* pool, OutQueue** own, bint tail_too) noexcept nogil  # drops what waits


# The oldest one, NULL = empty; the reference stays the queue's.
cdef inline SharedBuf* queue_peek(OutQueue* q) noexcept nogil:
    while q.count and q.ring[q.head] == NULL:
        q.head = (q.head + 1) & (q.cap - 1)
        q.count -= 1
    return q.ring[q.head] if q.count else NULL
