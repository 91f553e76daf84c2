from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from cmodules cimport layout
from frame.names cimport USER_PREFIX_BYTES, is_user_topic
from gateway_core.conn.joining cimport Cuts
from gateway_core.conn.pending cimport batch_packed, batch_start, pend, pending_served, within_budget
from gateway_core.conn.states cimport LIVE
from gateway_core.conn.table cimport (
    F_BLOCKED,
    F_SPECIAL,
    F_ZSTD,
    Conn,
    conn_find,
    conn_id,
    session_of,
    slot_of,
)
from gateway_core.conn.topics cimport PAGE_SLOTS, Batch, Topic, batch_free, topic_find, topic_next
from gateway_core.conn.transport cimport enqueue, flush_conn, hold, msg_number, send_direct, stage_begin, stage_finish
from gateway_core.conn.users cimport user_find
from gateway_core.includes.cpu cimport qw_cycles, qw_prefetch
from gateway_core.includes.sys cimport qw_clock_ns
from gateway_core.leaf.lists cimport NONE32, slots_swap_out
from gateway_core.leaf.mailbox cimport CMD_PUBLISH, Cmd, mail_push
from gateway_core.leaf.shared_buf cimport buf_name, buf_ref, buf_unref
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
from gateway_core.types cimport dictionary_of

LAYOUT = layout()

cdef enum:
    CLOCK_EVERY = 16  # members between two looks at the clock


cdef inline void _hand(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil:
    if b.exclude and conn_id(&loop.table, c) == b.exclude:
        return
    if c.state == LIVE:
        enqueue(loop, c, b)
    else:  # a member without a connection, or one whose verdict of this tick may be that
        hold(loop, c, b)


cdef void _publish_user(Loop* loop, SharedBuf* b) noexcept nogil:
    cdef uint32_t slot = user_find(&loop.users, b.hash, buf_name(b) + USER_PREFIX_BYTES, b.name_len - USER_PREFIX_BYTES)
    cdef Conn* c
    if slot == NONE32:
        stat_add(&loop.stats, N_PUBLISHES_UNHEARD, 1)
    while slot != NONE32:
        c = &loop.table.conns[slot]
        slot = session_of(c).next
        _hand(loop, c, b)


cdef void publish_local(Loop* loop, SharedBuf* b) noexcept nogil:
    cdef Topic* t
    cdef Conn* c
    cdef uint32_t i
    stat_add(&loop.stats, N_PUBLISHES, 1)
    if is_user_topic(buf_name(b), b.name_len):
        _publish_user(loop, b)
        return
    t = topic_find(&loop.topics, b.hash, buf_name(b), b.name_len)
    if t == NULL:
        stat_add(&loop.stats, N_PUBLISHES_UNHEARD, 1)
        return
    if not within_budget(&loop.topics, t, b, loop.now_ns):
        return
    if t.pages != NULL:
        if b.exclude:
            c = conn_find(&loop.table, b.exclude)
            if c != NULL:
                c.flags |= F_SPECIAL
        pend(&loop.topics, t, b)
        return
    for i in range(t.count):
        _hand(loop, &loop.table.conns[t.dense[i]], b)


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
                stat_add(&loop.stats, N_RELAY_DROPPED, 1)
    publish_local(loop, b)


cdef void _deliver_parts(Loop* loop, Batch* batch, Conn* c, uint64_t since, uint64_t id) noexcept nogil:
    cdef uint32_t i
    for i in range(batch.n):
        if batch.order[i] < since or (batch.part[i].exclude == id and id != 0):
            continue
        if c.state == LIVE:
            enqueue(loop, c, batch.part[i])
        else:
            hold(loop, c, batch.part[i])


cdef bint _special(Loop* loop, Topic* t, Conn* c) noexcept nogil:
    """1 when this member must not get the whole batch; it got its part then."""
    cdef Batch* batch = t.sweep
    cdef uint64_t since = 0, id = conn_id(&loop.table, c)
    cdef uint32_t i, slot = slot_of(&loop.table, c)
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
    cdef SharedBuf* b = batch.plain
    cdef Cuts* cuts = &batch.plain_cuts
    cdef uint32_t i
    if c.state != LIVE:
        if not (c.flags & F_SPECIAL and _special(loop, t, c)):
            _deliver_parts(loop, batch, c, 0, 0)
        return
    if not (c.flags & F_SPECIAL and _special(loop, t, c)):
        if c.flags & F_ZSTD:
            b = batch_packed(&loop.stats, batch, loop.compressor, dictionary_of(loop, c), &cuts)
        if c.out == NULL:
            if b.msgs:  # the count lies in the receiving half, which events need not touch
                for i in range(batch.n):
                    if batch.part[i].msgs:
                        msg_number(loop, c, batch.part[i])
            send_direct(loop, c, b, cuts)
            return
        if batch.mixed or b.msgs:  # each MSG has a number of its own
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
    stat_add(&loop.stats, N_SWEEPS, 1)
    _forget_young(t)
    t.due_ns = now + min(t.sweep_ns, <uint64_t>loop.config.flush_delay_us * 1000)
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
            qw_prefetch(&loop.table.conns[next_slot])
        _deliver(loop, t, &loop.table.conns[slot])
        n += 1
        t.cursor = slot + 1
        slot = next_slot
        if n % CLOCK_EVERY == 0 and qw_clock_ns(0) >= until_ns:
            break
    stage_finish(loop)
    now = qw_clock_ns(0)
    t.sweep_ns += now - began
    stat_add(&loop.stats, N_SWEPT, n)
    if over:
        batch_free(&loop.topics, t)
        if t.served >= t.n_pages:
            _round_over(loop, t, now)
    return now


cdef bint _full(Loop* loop, Topic* t) noexcept nogil:
    return t.waiting >= loop.config.topic.batch_messages or t.bytes >= loop.config.topic.batch_bytes


cdef bint _still_full(Loop* loop) noexcept nogil:
    cdef uint32_t i
    for i in range(loop.topics.active.len):
        if loop.topics.by_id[loop.topics.active.at[i]].waiting >= loop.config.topic.pending:
            return True
    return False


cdef uint64_t fanout_wait(Loop* loop) noexcept nogil:
    cdef uint64_t least = ~<uint64_t>0
    cdef uint32_t i
    cdef Topic* t
    for i in range(loop.topics.active.len):
        t = loop.topics.by_id[loop.topics.active.at[i]]
        if t.sweep != NULL or _full(loop, t) or t.due_ns <= loop.now_ns:
            return 0
        least = min(least, t.due_ns - loop.now_ns)
    return least


cdef void fanout_work(Loop* loop) noexcept nogil:
    cdef uint64_t now, until, t0, inner
    cdef uint32_t looked = 0
    cdef Topic* t
    if loop.topics.stalled:
        loop.topics.stalled = _still_full(loop)
    if loop.topics.active.len == 0:
        return
    t0 = qw_cycles()
    inner = loop.stats.stage_cycles[S_GATHER] + loop.stats.stage_cycles[S_SEAL] + loop.stats.stage_cycles[S_WRITE]
    now = qw_clock_ns(0)
    until = now + <uint64_t>loop.config.sweep_budget_us * 1000
    while looked < loop.topics.active.len and now < until:
        if loop.sweep_at >= loop.topics.active.len:
            loop.sweep_at = 0
        t = loop.topics.by_id[loop.topics.active.at[loop.sweep_at]]
        if t.sweep == NULL and t.waiting and (t.due_ns <= now or _full(loop, t)):
            batch_start(&loop.topics, t)
        if t.sweep != NULL:
            now = _sweep(loop, t, until)
            looked = 0
            if t.sweep != NULL:
                break  # goes on where it stopped, in the next tick
        elif t.waiting == 0:
            t.active = 0
            slots_swap_out(&loop.topics.active, loop.sweep_at)
            continue
        loop.sweep_at += 1
        looked += 1
    # sealing and writing have their own accounts
    inner = loop.stats.stage_cycles[S_GATHER] + loop.stats.stage_cycles[S_SEAL] + loop.stats.stage_cycles[S_WRITE] - inner
    stage_end(&loop.stats, S_SWEEP, t0 + inner, 1)
