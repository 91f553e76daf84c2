from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from gateway_core.conn.topics cimport batch_free, topic_find, topic_next
from gateway_core.conn.transport cimport enqueue, flush_conn, send_direct
from gateway_core.conn.users cimport user_find
from gateway_core.includes.cpu cimport qw_cycles, qw_prefetch
from gateway_core.includes.sys cimport qw_clock_ns
from gateway_core.leaf.conn_table cimport conn_find
from gateway_core.leaf.mailbox cimport mail_push
from gateway_core.leaf.shared_buf cimport buf_packed, buf_raw, buf_ref, buf_unref
from gateway_core.leaf.stats cimport (
    L_BATCHES,
    N_COMPRESSED,
    N_DROP_BUDGET_HIGH,
    N_DROP_BUDGET_NORMAL,
    N_DROP_PENDING_HIGH,
    N_DROP_PENDING_NORMAL,
    N_PUBLISHES,
    N_PUBLISHES_UNHEARD,
    N_RELAY_DROPPED,
    N_STALLS,
    N_SWEEPS,
    N_SWEPT,
    S_SWEEP,
    stage_end,
    stat_add,
)
from gateway_core.net.out_queue cimport slots_push
from gateway_core.types cimport (
    CMD_PUBLISH,
    F_BLOCKED,
    F_SPECIAL,
    F_ZSTD,
    HIGH,
    LIVE,
    MUST,
    NONE32,
    NORMAL,
    Batch,
    Cmd,
    Conn,
    Loop,
    SharedBuf,
    Topic,
    buf_data,
    buf_name,
    conn_id,
    layout_mark,
    session_of,
)

LAYOUT = layout_mark()

cdef enum:
    CLOCK_EVERY = 16  # members between two looks at the clock
    RING_START = 64


cdef bint _within_budget(Loop* loop, Topic* t, SharedBuf* b) noexcept nogil:
    """Class rates of chatrooms; high borrows from normal, never the other way."""
    cdef double passed
    if b.cls == MUST or (t.normal_rate == 0 and t.high_rate == 0):
        return True
    passed = <double>(loop.now_ns - t.filled_ns) / 1e9
    t.filled_ns = loop.now_ns
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
    stat_add(loop, N_DROP_BUDGET_HIGH if b.cls == HIGH else N_DROP_BUDGET_NORMAL, 1)
    return False


cdef void _activate(Loop* loop, Topic* t) noexcept nogil:
    if not t.active:
        if slots_push(loop, &loop.active.at, &loop.active.len, &loop.active.cap, t.id) == 0:
            t.active = 1


cdef bint _drop_oldest(Loop* loop, Topic* t, int cls) noexcept nogil:
    cdef uint32_t i, at
    cdef SharedBuf* b
    for i in range(t.span):
        at = (t.head + i) & (t.cap - 1)
        b = t.ring[at]
        if b != NULL and b.cls == cls:
            t.ring[at] = NULL
            t.waiting -= 1
            t.bytes -= b.size
            stat_add(loop, N_DROP_PENDING_HIGH if cls == HIGH else N_DROP_PENDING_NORMAL, 1)
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


cdef void _pend(Loop* loop, Topic* t, SharedBuf* b) noexcept nogil:
    cdef uint32_t at
    if t.waiting >= loop.set.topic_pending:
        if not _drop_oldest(loop, t, NORMAL) and (b.cls == NORMAL or not _drop_oldest(loop, t, HIGH)):
            if b.cls != MUST:
                stat_add(loop, N_DROP_PENDING_HIGH if b.cls == HIGH else N_DROP_PENDING_NORMAL, 1)
                return
            loop.stalled = True  # commands wait until the sweep has caught up: nothing is lost
            stat_add(loop, N_STALLS, 1)
    if t.span == t.cap and _pending_grow(t) < 0:
        return
    at = (t.head + t.span) & (t.cap - 1)
    t.ring[at] = buf_ref(b)
    t.orders[at] = t.next_order
    t.next_order += 1
    t.span += 1
    t.waiting += 1
    t.bytes += b.size
    _activate(loop, t)


cdef void _publish_user(Loop* loop, SharedBuf* b) noexcept nogil:
    cdef uint32_t slot = user_find(loop, b.hash, buf_name(b) + 2, b.name_len - 2)
    cdef Conn* c
    if slot == NONE32:
        stat_add(loop, N_PUBLISHES_UNHEARD, 1)
    while slot != NONE32:
        c = &loop.conns[slot]
        slot = session_of(c).next
        if c.state == LIVE and (b.exclude == 0 or conn_id(loop, c) != b.exclude):
            enqueue(loop, c, b)


cdef void publish_local(Loop* loop, SharedBuf* b) noexcept nogil:
    cdef Topic* t
    cdef Conn* c
    cdef uint32_t i
    stat_add(loop, N_PUBLISHES, 1)
    if b.name_len >= 2 and memcmp(buf_name(b), b"u/", 2) == 0:
        _publish_user(loop, b)
        return
    t = topic_find(loop, b.hash, buf_name(b), b.name_len)
    if t == NULL:
        stat_add(loop, N_PUBLISHES_UNHEARD, 1)
        return
    if not _within_budget(loop, t, b):
        return
    if t.pages != NULL:
        if b.exclude:
            c = conn_find(loop, b.exclude)
            if c != NULL:
                c.flags |= F_SPECIAL
        _pend(loop, t, b)
        return
    for i in range(t.count):
        c = &loop.conns[t.dense[i]]
        if c.state == LIVE and (b.exclude == 0 or conn_id(loop, c) != b.exclude):
            enqueue(loop, c, b)


cdef void publish_all(Loop* loop, SharedBuf* b) noexcept nogil:
    cdef uint32_t i
    cdef Cmd cmd
    if b == NULL:
        return
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = CMD_PUBLISH
    for i in range(loop.engine.n_loops):
        if i != loop.index:
            cmd.ptr = buf_ref(b)
            if not mail_push(&loop.engine.loops[i].mail, &cmd):
                buf_unref(b)
                stat_add(loop, N_RELAY_DROPPED, 1)
    publish_local(loop, b)


# sweeps --------------------------------------------------------------------------------------------------------

cdef SharedBuf* _join_parts(SharedBuf** part, uint32_t n, uint8_t cls) noexcept nogil:
    cdef size_t size = 0
    cdef uint32_t i
    cdef SharedBuf* b
    if n == 1:
        return buf_ref(part[0])
    for i in range(n):
        size += part[i].size
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


cdef bint _start(Loop* loop, Topic* t) noexcept nogil:
    """Takes the oldest messages that fit one batch; 0 when nothing could be taken."""
    cdef uint32_t room = loop.set.flush_messages, n = 0
    cdef size_t bytes = 0
    cdef Batch* batch
    cdef SharedBuf* b
    cdef uint8_t cls = NORMAL
    if t.waiting < room:
        room = t.waiting
    batch = <Batch*>calloc(1, sizeof(Batch) + room * (sizeof(SharedBuf*) + sizeof(uint64_t)))
    if batch == NULL or room == 0:
        free(batch)
        return False
    batch.order = <uint64_t*>(<char*>batch + sizeof(Batch))
    batch.part = <SharedBuf**>(batch.order + room)
    while n < room and t.span:
        b = t.ring[t.head]
        if b != NULL:
            if n and bytes + b.size > loop.set.flush_bytes:
                break
            batch.order[n] = t.orders[t.head]
            batch.part[n] = b
            n += 1
            bytes += b.size
            t.waiting -= 1
            t.bytes -= b.size
            if b.cls < cls:
                cls = b.cls
            if b.exclude:
                batch.excludes = 1
        t.head = (t.head + 1) & (t.cap - 1)
        t.span -= 1
    batch.n = n
    for room in range(n):
        if batch.part[room].cls != cls:
            batch.mixed = 1
    t.sweep = batch
    t.cursor = 0
    t.sweep_ns = 0
    stat_add(loop, L_BATCHES, 1)
    batch.plain = _join_parts(batch.part, n, cls)
    if batch.plain == NULL:
        batch_free(loop, t)
        return False
    return True


cdef SharedBuf* _packed(Loop* loop, Batch* batch) noexcept nogil:
    """The batch for members that take compressed bodies, joined from compressed twins at first need."""
    cdef SharedBuf** forms
    cdef uint32_t i
    cdef bint differs = False
    if not batch.tried:
        batch.tried = 1
        forms = <SharedBuf**>malloc(batch.n * sizeof(SharedBuf*))
        if forms != NULL:
            for i in range(batch.n):
                forms[i] = buf_packed(batch.part[i], loop.compressor)
                if forms[i] != batch.part[i]:
                    differs = True
            if differs:
                batch.packed = _join_parts(forms, batch.n, batch.plain.cls)
            free(forms)
    if batch.packed == NULL:
        return batch.plain
    stat_add(loop, N_COMPRESSED, 1)
    return batch.packed


cdef void _deliver_parts(Loop* loop, Batch* batch, Conn* c, uint64_t since, uint64_t id) noexcept nogil:
    cdef uint32_t i
    for i in range(batch.n):
        if batch.order[i] >= since and (batch.part[i].exclude != id or id == 0) and c.state == LIVE:
            enqueue(loop, c, batch.part[i])


cdef bint _special(Loop* loop, Topic* t, Conn* c) noexcept nogil:
    """1 when this member must not get the whole batch; it got its part then."""
    cdef Batch* batch = t.sweep
    cdef uint64_t since = 0, id = conn_id(loop, c)
    cdef uint32_t i, slot = <uint32_t>(c - loop.conns)
    cdef bint differs = False
    for i in range(t.youngs):
        if t.young[i].slot == slot and t.young[i].generation == c.generation:
            since = t.young[i].since
            differs = since > batch.order[0]
            break
    if batch.excludes and not differs:
        for i in range(batch.n):
            if batch.part[i].exclude == id:
                differs = True
                break
    if differs:
        _deliver_parts(loop, batch, c, since, id)
    return differs


cdef void _deliver(Loop* loop, Topic* t, Conn* c) noexcept nogil:
    cdef Batch* batch = t.sweep
    cdef SharedBuf* b
    if c.state != LIVE:
        return
    if not (c.flags & F_SPECIAL and _special(loop, t, c)):
        b = _packed(loop, batch) if c.flags & F_ZSTD else batch.plain
        if c.out == NULL:
            c.msgs_sent += b.msgs
            send_direct(loop, c, buf_data(b), b.size, b.frames)
            return
        if batch.mixed:
            _deliver_parts(loop, batch, c, 0, 0)
        else:
            enqueue(loop, c, b)
    if c.state == LIVE and not c.flags & F_BLOCKED:
        flush_conn(loop, c)


cdef void _forget_young(Topic* t) noexcept nogil:
    """Drops the entries every waiting message is newer than."""
    cdef uint64_t oldest = t.orders[t.head] if t.span else t.next_order
    cdef uint32_t i, n = 0
    for i in range(t.youngs):
        if t.young[i].since > oldest:
            t.young[n] = t.young[i]
            n += 1
    t.youngs = n


cdef uint64_t _sweep(Loop* loop, Topic* t, uint64_t until_ns) noexcept nogil:
    """Walks on until the sweep or the time ends; the time now."""
    cdef uint32_t slot, next_slot, n = 0
    cdef uint64_t began = qw_clock_ns(0), now
    slot = topic_next(t, t.cursor)
    while slot != NONE32:
        next_slot = topic_next(t, slot + 1)
        if next_slot != NONE32:
            qw_prefetch(&loop.conns[next_slot])
        _deliver(loop, t, &loop.conns[slot])
        n += 1
        t.cursor = slot + 1
        slot = next_slot
        if n % CLOCK_EVERY == 0 and slot != NONE32 and qw_clock_ns(0) >= until_ns:
            break
    now = qw_clock_ns(0)
    t.sweep_ns += now - began
    stat_add(loop, N_SWEPT, n)
    if slot == NONE32:
        batch_free(loop, t)
        stat_add(loop, N_SWEEPS, 1)
        _forget_young(t)
        t.due_ns = now + min(t.sweep_ns, <uint64_t>loop.set.flush_delay_us * 1000)
    return now


cdef bint _full(Loop* loop, Topic* t) noexcept nogil:
    return t.waiting >= loop.set.flush_messages or t.bytes >= loop.set.flush_bytes


cdef bint _still_full(Loop* loop) noexcept nogil:
    cdef uint32_t i
    for i in range(loop.active.len):
        if loop.topics.by_id[loop.active.at[i]].waiting >= loop.set.topic_pending:
            return True
    return False


cdef uint64_t fanout_wait(Loop* loop) noexcept nogil:
    cdef uint64_t least = ~<uint64_t>0
    cdef uint32_t i
    cdef Topic* t
    for i in range(loop.active.len):
        t = loop.topics.by_id[loop.active.at[i]]
        if t.sweep != NULL or _full(loop, t) or t.due_ns <= loop.now_ns:
            return 0
        least = min(least, t.due_ns - loop.now_ns)
    return least


cdef void fanout_work(Loop* loop) noexcept nogil:
    cdef uint64_t now, until, t0
    cdef uint32_t looked = 0
    cdef Topic* t
    if loop.stalled:
        loop.stalled = _still_full(loop)
    if loop.active.len == 0:
        return
    t0 = qw_cycles()
    now = qw_clock_ns(0)
    until = now + <uint64_t>loop.set.sweep_budget_us * 1000
    while looked < loop.active.len and now < until:
        if loop.active_at >= loop.active.len:
            loop.active_at = 0
        t = loop.topics.by_id[loop.active.at[loop.active_at]]
        if t.sweep == NULL and t.waiting and (t.due_ns <= now or _full(loop, t)):
            _start(loop, t)
        if t.sweep != NULL:
            now = _sweep(loop, t, until)
            looked = 0
            if t.sweep != NULL:
                break  # goes on where it stopped, in the next tick
        elif t.waiting == 0:
            t.active = 0
            loop.active.len -= 1
            loop.active.at[loop.active_at] = loop.active.at[loop.active.len]
            continue
        loop.active_at += 1
        looked += 1
    stage_end(loop, S_SWEEP, t0, 1)
