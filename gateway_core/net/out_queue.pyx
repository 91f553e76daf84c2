from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from gateway_core.leaf.shared_buf cimport buf_ref, buf_unref
from gateway_core.leaf.stats cimport (
    L_OUT_QUEUES,
    L_QUEUED_BYTES,
    L_TAILS,
    N_DROP_AT_CLOSE,
    N_DROP_HIGH,
    N_DROP_NORMAL,
    N_SOFT_LIMIT,
    stat_add,
)
from gateway_core.types cimport (
    F_DIRTY,
    F_SOFT,
    HIGH,
    MUST,
    NORMAL,
    Conn,
    Loop,
    OutQueue,
    SharedBuf,
    layout_mark,
)

LAYOUT = layout_mark()

cdef enum:
    POOL_MAX = 256  # idle queues kept per loop
    INLINE = 8


cdef OutQueue* _queue(Loop* loop, Conn* c) noexcept nogil:
    cdef OutQueue* q = c.out
    if q != NULL:
        return q
    q = loop.queue_pool
    if q != NULL:
        loop.queue_pool = q.next
        loop.queue_pooled -= 1
    else:
        q = <OutQueue*>malloc(sizeof(OutQueue))
        if q == NULL:
            return NULL
    memset(q, 0, sizeof(OutQueue))
    q.ring = q.inline_ring
    q.cap = INLINE
    c.out = q
    stat_add(loop, L_OUT_QUEUES, 1)
    return q


cdef int slots_push(Loop* loop, uint32_t** at, uint32_t* len, uint32_t* cap, uint32_t slot) noexcept nogil:
    cdef uint32_t grown
    cdef uint32_t* p
    if len[0] == cap[0]:
        grown = cap[0] * 2 if cap[0] else 256
        p = <uint32_t*>realloc(at[0], grown * sizeof(uint32_t))
        if p == NULL:
            return -1
        at[0] = p
        cap[0] = grown
    at[0][len[0]] = slot
    len[0] += 1
    return 0


cdef void mark_dirty(Loop* loop, Conn* c) noexcept nogil:
    if not c.flags & F_DIRTY:
        if slots_push(loop, &loop.dirty.at, &loop.dirty.len, &loop.dirty.cap, <uint32_t>(c - loop.conns)) == 0:
            c.flags |= F_DIRTY


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


cdef void _drop(Loop* loop, OutQueue* q, uint32_t at) noexcept nogil:
    cdef SharedBuf* b = q.ring[at]
    q.ring[at] = NULL
    q.bytes -= b.size
    stat_add(loop, L_QUEUED_BYTES, -<long>b.size)
    stat_add(loop, N_DROP_NORMAL if b.cls == NORMAL else N_DROP_HIGH, b.frames)
    buf_unref(b)


cdef void _make_room(Loop* loop, OutQueue* q, uint32_t need, int cls) noexcept nogil:
    """Drops events of class `cls` oldest first until `need` bytes fit."""
    cdef uint32_t i, at
    for i in range(q.count):
        if q.bytes + need <= loop.set.queue_event_bytes:
            return
        at = (q.head + i) & (q.cap - 1)
        if q.ring[at] != NULL and q.ring[at].cls == cls:
            _drop(loop, q, at)


cdef int queue_push(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil:
    cdef OutQueue* q = _queue(loop, c)
    if q == NULL:
        return Q_MEMORY
    if b.cls != MUST and q.bytes + b.size > loop.set.queue_event_bytes:
        _make_room(loop, q, b.size, NORMAL)
        if b.cls == HIGH and q.bytes + b.size > loop.set.queue_event_bytes:
            _make_room(loop, q, b.size, HIGH)
        if q.bytes + b.size > loop.set.queue_event_bytes:
            stat_add(loop, N_DROP_NORMAL if b.cls == NORMAL else N_DROP_HIGH, b.frames)
            return Q_DROPPED
    if b.cls == MUST and q.bytes + b.size > loop.set.queue_hard_bytes:
        _make_room(loop, q, b.size, NORMAL)
        _make_room(loop, q, b.size, HIGH)
        if q.bytes + b.size > loop.set.queue_hard_bytes:
            return Q_FULL
    if q.count == q.cap and _grow(q) < 0:
        return Q_MEMORY
    q.ring[(q.head + q.count) & (q.cap - 1)] = buf_ref(b)
    q.count += 1
    q.bytes += b.size
    c.msgs_sent += b.msgs
    stat_add(loop, L_QUEUED_BYTES, b.size)
    if q.bytes > loop.set.queue_soft_bytes and not c.flags & F_SOFT:
        c.flags |= F_SOFT
        stat_add(loop, N_SOFT_LIMIT, 1)
    mark_dirty(loop, c)
    return Q_OK


cdef SharedBuf* queue_peek(OutQueue* q) noexcept nogil:
    while q.count and q.ring[q.head] == NULL:
        q.head = (q.head + 1) & (q.cap - 1)
        q.count -= 1
    return q.ring[q.head] if q.count else NULL


cdef SharedBuf* queue_pop(Loop* loop, OutQueue* q) noexcept nogil:
    cdef SharedBuf* b = queue_peek(q)
    if b != NULL:
        q.head = (q.head + 1) & (q.cap - 1)
        q.count -= 1
        q.bytes -= b.size
        stat_add(loop, L_QUEUED_BYTES, -<long>b.size)
    return b


cdef int queue_tail(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef OutQueue* q = _queue(loop, c)
    if q == NULL:
        return -1
    q.tail = <uint8_t*>malloc(n)
    if q.tail == NULL:
        return -1
    memcpy(q.tail, p, n)
    q.tail_len = <uint32_t>n
    q.tail_at = 0
    stat_add(loop, L_TAILS, 1)
    return 0


cdef void queue_tail_done(Loop* loop, OutQueue* q) noexcept nogil:
    if q.tail != NULL:
        free(q.tail)
        q.tail = NULL
        stat_add(loop, L_TAILS, -1)


cdef void queue_settle(Loop* loop, Conn* c) noexcept nogil:
    cdef OutQueue* q = c.out
    if q == NULL or q.tail != NULL or queue_peek(q) != NULL:
        return
    if q.ring != q.inline_ring:
        free(q.ring)
    c.out = NULL
    c.flags &= <unsigned short>~<unsigned int>F_SOFT
    stat_add(loop, L_OUT_QUEUES, -1)
    if loop.queue_pooled < POOL_MAX:
        q.next = loop.queue_pool
        loop.queue_pool = q
        loop.queue_pooled += 1
    else:
        free(q)


cdef void queue_clear(Loop* loop, Conn* c, bint tail_too) noexcept nogil:
    cdef SharedBuf* b
    if c.out == NULL:
        return
    while True:
        b = queue_pop(loop, c.out)
        if b == NULL:
            break
        stat_add(loop, N_DROP_AT_CLOSE, b.frames)
        buf_unref(b)
    if tail_too:
        queue_tail_done(loop, c.out)
    queue_settle(loop, c)


cdef void queue_pool_free(Loop* loop) noexcept nogil:
    cdef OutQueue* q
    while loop.queue_pool != NULL:
        q = loop.queue_pool
        loop.queue_pool = q.next
        free(q)
    loop.queue_pooled = 0
