from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from cmodules cimport layout
from frame.constants cimport RECORD_TARGET_PLAINTEXT
from gateway_core.conn.topics cimport PAGE_SLOTS, Cuts, batch_free
from gateway_core.leaf.lists cimport slots_push
from gateway_core.leaf.shared_buf cimport (
    HIGH,
    MUST,
    NORMAL,
    buf_data,
    buf_packed,
    buf_raw,
    buf_ref,
    buf_unref,
)
from gateway_core.leaf.stats cimport (
    L_BATCHES,
    N_COMPRESSED,
    N_DROP_BUDGET_HIGH,
    N_DROP_BUDGET_NORMAL,
    N_DROP_PENDING_HIGH,
    N_DROP_PENDING_NORMAL,
    N_STALLS,
    stat_add,
)

LAYOUT = layout()

cdef enum:
    RING_START = 64


cdef bint within_budget(TopicTable* topics, Topic* t, SharedBuf* b, uint64_t now_ns) noexcept nogil:
    """Class rates of chatrooms; high borrows from normal, never the other way."""
    cdef double passed
    if b.cls == MUST or (t.normal_rate == 0 and t.high_rate == 0):
        return True
    passed = <double>(now_ns - t.filled_ns) / 1e9
    t.filled_ns = now_ns
    t.normal_tokens = min(t.normal_tokens + passed * t.normal_rate, <double>t.normal_rate)
    t.high_tokens = min(t.high_tokens + passed * t.high_rate, <double>t.high_rate)
    if b.cls == HIGH:
        if t.high_rate == 0:
            return True
        if t.high_tokens >= 1.0:
            t.high_tokens -= 1.0
            return True
    elif t.normal_rate == 0:
        return True
    if t.normal_rate and t.normal_tokens >= 1.0:
        t.normal_tokens -= 1.0
        return True
    stat_add(topics.stats, N_DROP_BUDGET_HIGH if b.cls == HIGH else N_DROP_BUDGET_NORMAL, 1)
    return False


cdef void _activate(TopicTable* topics, Topic* t) noexcept nogil:
    if not t.active:
        if slots_push(&topics.active, t.id) == 0:
            t.active = 1


cdef bint _drop_oldest(TopicTable* topics, Topic* t, int cls) noexcept nogil:
    cdef uint32_t i, at
    cdef SharedBuf* b
    for i in range(t.span):
        at = (t.head + i) & (t.cap - 1)
        b = t.ring[at]
        if b != NULL and b.cls == cls:
            t.ring[at] = NULL
            t.waiting -= 1
            t.bytes -= b.size
            stat_add(topics.stats, N_DROP_PENDING_HIGH if cls == HIGH else N_DROP_PENDING_NORMAL, 1)
            buf_unref(b)
            return True
    return False


cdef int _pending_grow(Topic* t) noexcept nogil:
    """Squeezes out dropped cells, or doubles the ring."""
    cdef uint32_t i, at, n = 0
    cdef uint32_t cap = t.cap if t.waiting < t.span - t.span // 4 else t.cap * 2
    cdef SharedBuf** ring
    cdef uint64_t* orders
    if cap == 0:
        cap = RING_START
    ring = <SharedBuf**>malloc(cap * sizeof(SharedBuf*))
    orders = <uint64_t*>malloc(cap * sizeof(uint64_t))
    if ring == NULL or orders == NULL:
        free(ring)
        free(orders)
        return -1
    for i in range(t.span):
        at = (t.head + i) & (t.cap - 1)
        if t.ring[at] != NULL:
            ring[n] = t.ring[at]
            orders[n] = t.orders[at]
            n += 1
    free(t.ring)
    free(t.orders)
    t.ring = ring
    t.orders = orders
    t.cap = cap
    t.head = 0
    t.span = n
    return 0


cdef void pend(TopicTable* topics, Topic* t, SharedBuf* b) noexcept nogil:
    cdef uint32_t at
    if t.waiting >= topics.limits.pending:
        if not _drop_oldest(topics, t, NORMAL) and (b.cls == NORMAL or not _drop_oldest(topics, t, HIGH)):
            if b.cls != MUST:
                stat_add(topics.stats, N_DROP_PENDING_HIGH if b.cls == HIGH else N_DROP_PENDING_NORMAL, 1)
                return
            topics.stalled = True  # commands wait until the sweep has caught up: nothing is lost
            stat_add(topics.stats, N_STALLS, 1)
    if t.span == t.cap and _pending_grow(t) < 0:
        return
    at = (t.head + t.span) & (t.cap - 1)
    t.ring[at] = buf_ref(b)
    t.orders[at] = t.next_order
    t.next_order += 1
    t.span += 1
    t.waiting += 1
    t.bytes += b.size
    _activate(topics, t)


cdef SharedBuf* _join_parts(SharedBuf** part, uint32_t n, uint8_t cls, Cuts* cuts) noexcept nogil:
    """One buffer of all parts; cuts say where its records end."""
    cdef size_t size = 0
    cdef uint32_t i
    cdef SharedBuf* b
    cuts.n = 0
    cuts.end[0] = 0
    for i in range(n):
        if cuts.end[cuts.n] and size + part[i].size - (cuts.end[cuts.n - 1] if cuts.n else 0) > RECORD_TARGET_PLAINTEXT:
            cuts.n += 1
        size += part[i].size
        cuts.end[cuts.n] = <uint32_t>size
    cuts.n += 1
    if n == 1:
        return buf_ref(part[0])
    b = buf_raw(size)
    if b == NULL:
        return NULL
    size = 0
    for i in range(n):
        memcpy(buf_data(b) + size, buf_data(part[i]), part[i].size)
        size += part[i].size
        b.frames += part[i].frames
        b.msgs += part[i].msgs
    b.cls = cls
    return b


cdef void pending_served(Topic* t) noexcept nogil:
    """Lets go of what every stripe has got."""
    cdef SharedBuf* b
    while t.span and (t.ring[t.head] == NULL or t.orders[t.head] < t.since[t.stripe]):
        b = t.ring[t.head]
        if b != NULL:
            t.waiting -= 1
            t.bytes -= b.size
            buf_unref(b)
        t.head = (t.head + 1) & (t.cap - 1)
        t.span -= 1


cdef bint batch_start(TopicTable* topics, Topic* t) noexcept nogil:
    """Takes the oldest messages that fit one batch; 0 when nothing could be taken."""
    cdef uint32_t most = topics.limits.batch_messages, n = 0, i, at
    cdef size_t bytes = 0
    cdef Batch* batch
    cdef SharedBuf* b
    cdef uint8_t cls = NORMAL
    if t.waiting < most:
        most = t.waiting
    batch = <Batch*>calloc(1, sizeof(Batch) + most * (sizeof(SharedBuf*) + sizeof(uint64_t)))
    if batch == NULL or most == 0:
        free(batch)
        return False
    batch.order = <uint64_t*>(<char*>batch + sizeof(Batch))
    batch.part = <SharedBuf**>(batch.order + most)
    batch.first = t.since[t.stripe]
    batch.until = t.next_order
    for i in range(t.span):
        at = (t.head + i) & (t.cap - 1)
        b = t.ring[at]
        if b == NULL:
            continue
        if n == most or (n and bytes + b.size > topics.limits.batch_bytes):
            batch.until = t.orders[at]
            batch.full = 1
            break
        batch.order[n] = t.orders[at]
        batch.part[n] = buf_ref(b)
        n += 1
        bytes += b.size
        if b.cls < cls:
            cls = b.cls
        if b.exclude:
            batch.excludes = 1
    batch.n = n
    for i in range(n):
        if batch.part[i].cls != cls:
            batch.mixed = 1
    t.sweep = batch
    t.cursor = t.stripe * PAGE_SLOTS
    t.due_ns = 0  # the rest of the round needs no full batch
    stat_add(topics.stats, L_BATCHES, 1)
    batch.plain = _join_parts(batch.part, n, cls, &batch.plain_cuts)
    if n > 1 and batch.plain_cuts.n > 1:
        batch.mixed = 1
    if batch.plain == NULL:
        batch_free(topics, t)
        return False
    return True


cdef SharedBuf* batch_packed(Stats* stats, Batch* batch, void* compressor) noexcept nogil:
    """The batch for members that take compressed bodies, joined from compressed twins at first need."""
    cdef SharedBuf** forms
    cdef uint32_t i
    cdef bint differs = False
    if not batch.tried:
        batch.tried = 1
        forms = <SharedBuf**>malloc(batch.n * sizeof(SharedBuf*))
        if forms != NULL:
            for i in range(batch.n):
                forms[i] = buf_packed(batch.part[i], compressor)
                if forms[i] != batch.part[i]:
                    differs = True
            if differs:
                batch.packed = _join_parts(forms, batch.n, batch.plain.cls, &batch.packed_cuts)
            free(forms)
    if batch.packed == NULL:
        return batch.plain
    stat_add(stats, N_COMPRESSED, 1)
    return batch.packed
