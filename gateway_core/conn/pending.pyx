from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from cmodules cimport layout
from crypto.zstd cimport Dictionary
from gateway_core.conn.joining cimport Cuts, join_packed, join_parts
from gateway_core.conn.topics cimport PAGE_SLOTS, batch_free, topic_find, topic_tell
from gateway_core.includes.atomics cimport qw_swap32
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.leaf.class_budget cimport class_budget_take
from gateway_core.leaf.lists cimport slots_push
from gateway_core.leaf.shared_buf cimport (
    DECISION,
    HIGH,
    MUST,
    NORMAL,
    NOTICE,
    buf_ref,
    buf_unref,
    event_kind,
)
from gateway_core.leaf.stats cimport (
    L_BATCHES,
    N_COMPRESSED,
    N_DROP_BUDGET_NORMAL,
    N_DROP_PENDING_NORMAL,
    N_STALLS,
    stat_add,
)

LAYOUT = layout()

cdef enum:
    RING_START = 64
    TELL_NS = 250000000  # between two tellings of what was dropped


cdef Topic* _room_of(TopicTable* topics, Topic* t) noexcept nogil:
    """The topic that has the budget: itself, or that before the tag."""
    cdef Topic* room = NULL
    if t.room_len:
        room = topic_find(topics, qw_hash(t.name, t.room_len, topics.seed), t.name, t.room_len)
    return room if room != NULL and room.meter != NULL else t


cdef void _owe(TopicTable* topics, Topic* t, int kind) noexcept nogil:
    if t.meter == NULL:
        return
    t.meter.dropped[kind] += 1
    if not t.meter.owing and slots_push(&topics.owing, t.id) == 0:
        t.meter.owing = 1


cdef void _dropped(TopicTable* topics, Topic* t, SharedBuf* b, int counter) noexcept nogil:
    """Counts an event that the members here will not get, unless another loop has; `counter` is that of normal ones."""
    cdef int kind = event_kind(b.cls)
    if qw_swap32(&b.lost, 1) == 0:
        stat_add(topics.stats, counter + kind, 1)
        _owe(topics, _room_of(topics, t), kind)


cdef bint within_budget(TopicTable* topics, Topic* t, SharedBuf* b, uint64_t now_ns) noexcept nogil:
    if t.meter == NULL or class_budget_take(&_room_of(topics, t).meter.budget, b.cls, now_ns):
        return True
    _dropped(topics, t, b, N_DROP_BUDGET_NORMAL)
    return False


cdef void topics_tell(TopicTable* topics, uint64_t now_ns) noexcept nogil:
    cdef uint32_t i
    if topics.owing.len == 0 or now_ns < topics.tell_ns or topics.announcer.events.over_len:
        return
    for i in range(topics.owing.len):
        topic_tell(topics, topics.by_id[topics.owing.at[i]])
    topics.owing.len = 0
    topics.tell_ns = now_ns + TELL_NS


cdef uint64_t topics_tell_wait(TopicTable* topics, uint64_t now_ns) noexcept nogil:
    if topics.owing.len == 0:
        return ~<uint64_t>0
    return topics.tell_ns - now_ns if topics.tell_ns > now_ns else 0


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
            _dropped(topics, t, b, N_DROP_PENDING_NORMAL)
            buf_unref(b)
            return True
    return False


cdef bint _make_room(TopicTable* topics, Topic* t, int cls) noexcept nogil:
    """Drops one event, of the lowest class that is there and not above `cls`."""
    cdef int low
    for low in range(NOTICE if t.low else NORMAL, max(cls, <int>HIGH) - 1, -1):
        if _drop_oldest(topics, t, low):
            return True
        if low == DECISION:
            t.low = 0  # both are gone
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
    if t.waiting >= topics.limits.pending and not _make_room(topics, t, b.cls):
        if b.cls != MUST:
            _dropped(topics, t, b, N_DROP_PENDING_NORMAL)
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
    if b.cls > NORMAL:
        t.low = 1
    t.bytes += b.size
    _activate(topics, t)


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
    cdef uint8_t cls = NOTICE
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
    batch.plain = join_parts(batch.part, n, cls, &batch.plain_cuts)
    if n > 1 and batch.plain_cuts.n > 1:
        batch.mixed = 1
    if batch.plain == NULL:
        batch_free(topics, t)
        return False
    return True


cdef SharedBuf* batch_packed(Stats* stats, Batch* batch, void* compressor, const Dictionary* d, Cuts** cuts) noexcept nogil:
    """The batch for members that take compressed bodies, made at first need."""
    cdef uint32_t by = d != NULL
    if by and batch.tried[1] and batch.dictionary != d.id:  # another one came during the sweep
        by = 0
        d = NULL
    if not batch.tried[by]:
        batch.tried[by] = 1
        batch.dictionary = d.id if by else batch.dictionary
        batch.packed[by] = join_packed(batch.part, batch.n, batch.plain.cls, &batch.packed_cuts[by], compressor, d)
    if batch.packed[by] == NULL:
        cuts[0] = &batch.plain_cuts
        return batch.plain
    stat_add(stats, N_COMPRESSED, 1)
    cuts[0] = &batch.packed_cuts[by]
    return batch.packed[by]
