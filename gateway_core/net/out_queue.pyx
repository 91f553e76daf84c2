from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from gateway_core.leaf.shared_buf cimport DECISION, HIGH, MUST, NORMAL, NOTICE, buf_ref, buf_unref, event_kind
from gateway_core.leaf.stats cimport (
    L_OUT_QUEUES,
    L_QUEUED_BYTES,
    L_TAILS,
    N_DROP_AT_CLOSE,
    N_DROP_NORMAL,
    N_SOFT_LIMIT,
    stat_add,
)

LAYOUT = layout()

cdef enum:
    POOL_MAX = 256  # idle queues kept per loop


cdef void queues_init(QueuePool* pool, const QueueLimits* limits, Stats* stats) noexcept nogil:
    pool.idle = NULL
    pool.n_idle = 0
    pool.limits = limits[0]
    pool.stats = stats


cdef void queues_free(QueuePool* pool) noexcept nogil:
    cdef OutQueue* q
    while pool.idle != NULL:
        q = pool.idle
        pool.idle = q.next
        free(q)
    pool.n_idle = 0


cdef OutQueue* _queue(QueuePool* pool, OutQueue** own) noexcept nogil:
    cdef OutQueue* q = own[0]
    if q != NULL:
        return q
    q = pool.idle
    if q != NULL:
        pool.idle = q.next
        pool.n_idle -= 1
    else:
        q = <OutQueue*>malloc(sizeof(OutQueue))
        if q == NULL:
            return NULL
    memset(q, 0, sizeof(OutQueue))
    q.ring = q.inline_ring
    q.cap = QUEUE_INLINE
    own[0] = q
    stat_add(pool.stats, L_OUT_QUEUES, 1)
    return q


cdef int _grow(OutQueue* q) noexcept nogil:
    """Squeezes out dropped entries; a larger ring only when that frees less than a quarter."""
    cdef uint32_t i, n = 0, cap = q.cap
    cdef SharedBuf* b
    cdef SharedBuf** ring
    for i in range(q.count):
        b = q.ring[(q.head + i) & (q.cap - 1)]
        if b != NULL:
            q.ring[(q.head + n) & (q.cap - 1)] = b
            n += 1
    q.count = n
    if n < cap - cap // 4:
        return 0
    cap = q.cap * 2
    ring = <SharedBuf**>malloc(cap * sizeof(SharedBuf*))
    if ring == NULL:
        return -1
    for i in range(q.count):
        ring[i] = q.ring[(q.head + i) & (q.cap - 1)]
    if q.ring != q.inline_ring:
        free(q.ring)
    q.ring = ring
    q.head = 0
    q.cap = cap
    return 0


cdef void _drop(QueuePool* pool, OutQueue* q, uint32_t at) noexcept nogil:
    cdef SharedBuf* b = q.ring[at]
    q.ring[at] = NULL
    q.bytes -= b.size
    stat_add(pool.stats, L_QUEUED_BYTES, -<long>b.size)
    stat_add(pool.stats, N_DROP_NORMAL + event_kind(b.cls), b.frames)
    buf_unref(b)


cdef bint _drop_class(QueuePool* pool, OutQueue* q, uint32_t need, int cls) noexcept nogil:
    """Drops events of class `cls` oldest first until `need` bytes fit: 1."""
    cdef uint32_t i, at
    for i in range(q.count):
        if q.bytes + need <= pool.limits.event_bytes:
            return True
        at = (q.head + i) & (q.cap - 1)
        if q.ring[at] != NULL and q.ring[at].cls == cls:
            _drop(pool, q, at)
    return q.bytes + need <= pool.limits.event_bytes


cdef void _make_room(QueuePool* pool, OutQueue* q, uint32_t need, int cls) noexcept nogil:
    """Drops events, the lowest class first and none above `cls`, until `need` bytes fit."""
    cdef int low
    for low in range(NOTICE, max(cls, <int>HIGH) - 1, -1):
        if low > NORMAL and not q.low:
            continue
        if _drop_class(pool, q, need, low):
            return
        if low == DECISION:
            q.low = 0  # both are gone


cdef int queue_push(QueuePool* pool, OutQueue** own, SharedBuf* b) noexcept nogil:
    cdef OutQueue* q = _queue(pool, own)
    if q == NULL:
        return Q_MEMORY
    if b.cls != MUST and q.bytes + b.size > pool.limits.event_bytes:
        _make_room(pool, q, b.size, b.cls)
        if q.bytes + b.size > pool.limits.event_bytes:
            stat_add(pool.stats, N_DROP_NORMAL + event_kind(b.cls), b.frames)
            return Q_DROPPED
    if b.cls == MUST and q.bytes + b.size > pool.limits.hard_bytes:
        _make_room(pool, q, b.size, MUST)
        if q.bytes + b.size > pool.limits.hard_bytes:
            return Q_FULL
    if q.count == q.cap and _grow(q) < 0:
        return Q_MEMORY
    q.ring[(q.head + q.count) & (q.cap - 1)] = buf_ref(b)
    q.count += 1
    q.bytes += b.size
    if b.cls > NORMAL:
        q.low = 1
    stat_add(pool.stats, L_QUEUED_BYTES, b.size)
    if q.bytes > pool.limits.soft_bytes and not q.soft:
        q.soft = 1
        stat_add(pool.stats, N_SOFT_LIMIT, 1)
    return Q_OK


cdef SharedBuf* queue_pop(QueuePool* pool, OutQueue* q) noexcept nogil:
    cdef SharedBuf* b = queue_peek(q)
    if b != NULL:
        q.head = (q.head + 1) & (q.cap - 1)
        q.count -= 1
        q.bytes -= b.size
        stat_add(pool.stats, L_QUEUED_BYTES, -<long>b.size)
    return b


cdef int queue_tail(QueuePool* pool, OutQueue** own, const uint8_t* p, size_t n) noexcept nogil:
    cdef OutQueue* q = _queue(pool, own)
    if q == NULL:
        return -1
    q.tail = <uint8_t*>malloc(n)
    if q.tail == NULL:
        return -1
    memcpy(q.tail, p, n)
    q.tail_len = <uint32_t>n
    q.tail_at = 0
    stat_add(pool.stats, L_TAILS, 1)
    return 0


cdef void queue_tail_done(QueuePool* pool, OutQueue* q) noexcept nogil:
    if q.tail != NULL:
        free(q.tail)
        q.tail = NULL
        stat_add(pool.stats, L_TAILS, -1)


cdef void queue_settle(QueuePool* pool, OutQueue** own) noexcept nogil:
    cdef OutQueue* q = own[0]
    if q == NULL or q.tail != NULL or queue_peek(q) != NULL:
        return
    if q.ring != q.inline_ring:
        free(q.ring)
    own[0] = NULL
    stat_add(pool.stats, L_OUT_QUEUES, -1)
    if pool.n_idle < POOL_MAX:
        q.next = pool.idle
        pool.idle = q
        pool.n_idle += 1
    else:
        free(q)


cdef void queue_clear(QueuePool* pool, OutQueue** own, bint tail_too) noexcept nogil:
    cdef SharedBuf* b
    if own[0] == NULL:
        return
    while True:
        b = queue_pop(pool, own[0])
        if b == NULL:
            break
        stat_add(pool.stats, N_DROP_AT_CLOSE, b.frames)
        buf_unref(b)
    if tail_too:
        queue_tail_done(pool, own[0])
    queue_settle(pool, own)
