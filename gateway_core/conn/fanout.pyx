from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memset

from gateway_core.conn.pending cimport batch_packed, batch_start, pend, pending_served, within_budget
from gateway_core.conn.topics cimport batch_free, topic_find, topic_next
from gateway_core.conn.transport cimport enqueue, flush_conn, send_direct, stage_begin, stage_finish
from gateway_core.conn.users cimport user_find
from gateway_core.includes.cpu cimport qw_cycles, qw_prefetch
from gateway_core.includes.sys cimport qw_clock_ns
from gateway_core.leaf.conn_table cimport conn_find
from gateway_core.leaf.mailbox cimport mail_push
from gateway_core.leaf.shared_buf cimport buf_ref, buf_unref
from gateway_core.leaf.stats cimport (
    N_PUBLISHES,
    N_PUBLISHES_UNHEARD,
    N_RELAY_DROPPED,
    N_SWEEPS,
    N_SWEPT,
    S_GATHER,
    S_SEAL,
    S_SWEEP,
    S_WRITE,
    stage_end,
    stat_add,
)
from gateway_core.types cimport (
    CMD_PUBLISH,
    F_BLOCKED,
    F_SPECIAL,
    F_ZSTD,
    LIVE,
    NONE32,
    PAGE_SLOTS,
    Batch,
    Cmd,
    Conn,
    Loop,
    SharedBuf,
    Topic,
    buf_name,
    conn_id,
    layout_mark,
    session_of,
)

LAYOUT = layout_mark()

cdef enum:
    CLOCK_EVERY = 16  # members between two looks at the clock


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
    if not within_budget(loop, t, b):
        return
    if t.pages != NULL:
        if b.exclude:
            c = conn_find(loop, b.exclude)
            if c != NULL:
                c.flags |= F_SPECIAL
        pend(loop, t, b)
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
        b = batch_packed(loop, batch) if c.flags & F_ZSTD else batch.plain
        if c.out == NULL:
            if b.msgs:  # the count lies in the receiving half, which events need not touch
                c.msgs_sent += b.msgs
            send_direct(loop, c, b, &batch.plain_cuts if b == batch.plain else &batch.packed_cuts)
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


cdef bint _turn_over(Loop* loop, Topic* t) noexcept nogil:
    """Goes on to the next stripe; 1 when the batch is not what that one lacks, or the round is over."""
    cdef Batch* batch = t.sweep
    t.since[t.stripe] = batch.until
    t.stripe = t.stripe + 1 if t.stripe + 1 < t.n_pages else 0
    t.cursor = t.stripe * PAGE_SLOTS
    t.served += 1
    pending_served(t)
    if t.served >= t.n_pages or t.waiting == 0:
        t.served = t.n_pages
        return True
    return t.since[t.stripe] != batch.first or (t.next_order != batch.until and not batch.full)


cdef void _round_over(Loop* loop, Topic* t, uint64_t now) noexcept nogil:
    stat_add(loop, N_SWEEPS, 1)
    _forget_young(t)
    t.due_ns = now + min(t.sweep_ns, <uint64_t>loop.set.flush_delay_us * 1000)
    t.sweep_ns = 0
    t.served = 0


cdef uint64_t _sweep(Loop* loop, Topic* t, uint64_t until_ns) noexcept nogil:
    """Walks on until the batch has served its stripes or the time ends; the time now."""
    cdef uint32_t slot, next_slot, n = 0
    cdef uint64_t began = qw_clock_ns(0), now
    cdef bint over = False
    stage_begin(loop)
    slot = topic_next(t, t.cursor)
    while True:
        if slot >= (t.stripe + 1) * PAGE_SLOTS:  # NONE32 too
            over = _turn_over(loop, t)
            if over:
                break
            slot = topic_next(t, t.cursor)
            continue
        next_slot = topic_next(t, slot + 1)
        if next_slot != NONE32:
            qw_prefetch(&loop.conns[next_slot])
        _deliver(loop, t, &loop.conns[slot])
        n += 1
        t.cursor = slot + 1
        slot = next_slot
        if n % CLOCK_EVERY == 0 and qw_clock_ns(0) >= until_ns:
            break
    stage_finish(loop)
    now = qw_clock_ns(0)
    t.sweep_ns += now - began
    stat_add(loop, N_SWEPT, n)
    if over:
        batch_free(loop, t)
        if t.served >= t.n_pages:
            _round_over(loop, t, now)
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
    cdef uint64_t now, until, t0, inner
    cdef uint32_t looked = 0
    cdef Topic* t
    if loop.stalled:
        loop.stalled = _still_full(loop)
    if loop.active.len == 0:
        return
    t0 = qw_cycles()
    inner = loop.stage_cycles[S_GATHER] + loop.stage_cycles[S_SEAL] + loop.stage_cycles[S_WRITE]
    now = qw_clock_ns(0)
    until = now + <uint64_t>loop.set.sweep_budget_us * 1000
    while looked < loop.active.len and now < until:
        if loop.active_at >= loop.active.len:
            loop.active_at = 0
        t = loop.topics.by_id[loop.active.at[loop.active_at]]
        if t.sweep == NULL and t.waiting and (t.due_ns <= now or _full(loop, t)):
            batch_start(loop, t)
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
    # sealing and writing have their own accounts
    inner = loop.stage_cycles[S_GATHER] + loop.stage_cycles[S_SEAL] + loop.stage_cycles[S_WRITE] - inner
    stage_end(loop, S_SWEEP, t0 + inner, 1)
