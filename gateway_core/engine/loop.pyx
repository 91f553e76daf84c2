from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memmove, memset

from cmodules cimport layout
from crypto.sodium cimport sodium
from crypto.ticket cimport TicketKeys
from crypto.zstd cimport (
    zstd_compressor_free,
    zstd_compressor_new,
    zstd_decompressor_free,
    zstd_decompressor_new,
)
from frame.constants cimport MAX_RAW_BODY, TICKET_FRESH_MS
from gateway_core.conn.answering cimport handshake_waiting
from gateway_core.conn.dispatch cimport conn_readable
from gateway_core.conn.easing cimport reads_resume
from gateway_core.conn.fanout cimport fanout_wait, fanout_work
from gateway_core.conn.leaving cimport ages_step, leavers_step, pick_step
from gateway_core.conn.looking cimport look_free, look_step
from gateway_core.conn.pending cimport topics_tell, topics_tell_wait
from gateway_core.conn.session cimport conn_open, expire, finish, make_room, reap, release_all
from gateway_core.conn.states cimport CLOSING, DEAF, DOOMED, FREE, state_in
from gateway_core.conn.table cimport F_BLOCKED, F_DIRTY, Conn, conn_find, id_in_loop, table_free, table_init
from gateway_core.conn.topics cimport topics_free, topics_init
from gateway_core.conn.transport cimport doom_quiet, flush_conn, stage_begin, stage_finish
from gateway_core.conn.user_filter cimport filter_free, filter_init
from gateway_core.conn.users cimport users_free, users_init
from gateway_core.engine.execute cimport command_drop, commands_run, drain_step, resync_step
from gateway_core.includes.atomics cimport qw_load32
from gateway_core.includes.cpu cimport qw_cycles
from gateway_core.includes.sys cimport IP_BYTES, qw_clear_fd, qw_clock_ns, qw_map, qw_nap, qw_unmap
from gateway_core.leaf.dictionaries cimport dictionaries_free
from gateway_core.leaf.deadlines cimport (
    deadlines_begin,
    deadlines_due,
    deadlines_free,
    deadlines_init,
    deadlines_scanning,
)
from gateway_core.leaf.events cimport bell_ring, events_free, events_init, events_settle, events_waiting
from gateway_core.leaf.keys cimport ephemerals_fill, ephemerals_free, ephemerals_init, key_ring_wipe
from gateway_core.leaf.leavers cimport leavers_free, leavers_scanning
from gateway_core.leaf.lists cimport NONE32, ids_free, ids_init, slots_free
from gateway_core.leaf.policies cimport policies_free, policies_init
from gateway_core.leaf.mailbox cimport (
    Cmd,
    mail_awake,
    mail_blank,
    mail_free,
    mail_init,
    mail_may_sleep,
    mail_pop,
    mail_waiting,
)
from gateway_core.leaf.replay_filter cimport replay_free, replay_init
from gateway_core.leaf.shared_buf cimport buf_unref
from gateway_core.leaf.stats cimport (
    N_READ_PAUSES,
    N_TICKS,
    R_PEER_RESET,
    S_ACCEPT,
    S_POLL,
    S_SCAN,
    stage_end,
    stat_add,
    turn_add,
)
from gateway_core.net.listener cimport listener_close, listener_init, listener_next, listener_resume
from gateway_core.net.out_queue cimport queues_free, queues_init
from gateway_core.net.poller cimport (
    ID_LISTENER,
    ID_WAKE,
    READY_END,
    READY_IN,
    READY_OUT,
    poller_blank,
    poller_free,
    poller_init,
    poller_wait,
    poller_watch,
    ready_id,
    ready_what,
)
from gateway_core.net.sender cimport sender_free, sender_start
from gateway_core.types cimport KEY_TICKS, READ_BYTES, SCRATCH_BYTES, Config

LAYOUT = layout()

cdef enum:
    SLEEP_MS = 1000  # longest sleep: deadlines have a second's grain
    SCAN_SLOTS = 262144  # looked at per tick: 25-40 us
    EXPIRED_ROOM = 256  # judged in one turn: each gets a CLOSE of its own, ~10 us
    LOOK = 32  # flushes between two looks at the clock
    READ_LOOK = 16
    READ_NS = 2000000  # of one turn, for sockets that are ready; epoll hands the others out first in the next
    ACCEPT_LOOK = 8
    ACCEPT_NS = 1000000  # of one turn
    KEPT_MAX = 70000  # a partial record and its length, before the bytes of a read
    REPLAY_MS = 2 * TICKET_FRESH_MS + 2000  # from the first moment a flight is fresh to the last, and rounding
    FILL = 8  # ephemeral keys made in one idle tick: 60 us in all, or 50 each (crypto/x25519)


cdef int _parts_init(Loop* loop, const Config* config, uint64_t seed) noexcept nogil:
    """What has no file descriptor and no memory of its own yet gets its limits and neighbours; then the rest. 0 or -1."""
    poller_blank(&loop.poller)
    listener_init(&loop.listener, &loop.poller, &loop.stats)
    mail_blank(&loop.mail)
    queues_init(&loop.queues, &config.queue, &loop.stats)
    loop.announcer.events = &loop.events
    loop.announcer.loop = loop.index
    loop.announcer.on = config.announce_topics
    if table_init(&loop.table, loop.index, config.max_connections, &loop.stats) < 0:
        return -1
    if deadlines_init(&loop.deadlines, config.max_connections) < 0 or poller_init(&loop.poller) < 0:
        return -1
    if policies_init(&loop.policies) < 0:
        return -1
    if ids_init(&loop.waiting, config.handshake_queue) < 0 or ephemerals_init(&loop.ephemerals, config.ephemerals) < 0:
        return -1
    if users_init(&loop.users, &loop.table, &loop.announcer, seed) < 0 or filter_init(&loop.filter, seed) < 0:
        return -1
    if topics_init(&loop.topics, &config.topic, &loop.table, &loop.announcer, &loop.stats, seed) < 0:
        return -1
    if mail_init(&loop.mail, config.mailbox) < 0 or replay_init(&loop.replays, <uint64_t>REPLAY_MS * 1000000) < 0:
        return -1
    return events_init(&loop.events, config.event_ring, config.event_bytes, &loop.stats)


cdef int loop_init(Loop* loop, Engine* engine, unsigned int index, const KeyRing* keys) noexcept nogil:
    memset(loop, 0, sizeof(Loop))
    loop.engine = engine
    loop.config = &engine.config
    loop.index = index
    loop.keys = keys[0]
    loop.running = 1
    loop.read_most = READ_BYTES
    loop.now_ns = qw_clock_ns(0)
    loop.now_s = 1
    loop.read_buf = <uint8_t*>qw_map(READ_BYTES + KEPT_MAX)
    loop.scratch = <uint8_t*>qw_map(SCRATCH_BYTES)
    loop.raw_body = <uint8_t*>qw_map(MAX_RAW_BODY)
    loop.compressor = zstd_compressor_new(engine.config.compress_level)
    loop.expander = zstd_decompressor_new()
    if _parts_init(loop, &engine.config, engine.seed) < 0:
        return -1
    if loop.read_buf == NULL or loop.scratch == NULL or loop.raw_body == NULL:
        return -1
    if loop.compressor == NULL or loop.expander == NULL:
        return -1
    return poller_watch(&loop.poller, loop.mail.wake_fd, ID_WAKE)


cdef void loop_free(Loop* loop) noexcept nogil:
    cdef Cmd cmd
    if loop.mail.cells != NULL:
        while mail_pop(&loop.mail, &cmd):
            command_drop(&cmd)
    listener_close(&loop.listener)
    if loop.table.conns != NULL and loop.deadlines.at != NULL:
        release_all(loop)
    topics_free(&loop.topics)
    users_free(&loop.users)
    filter_free(&loop.filter)
    table_free(&loop.table)
    deadlines_free(&loop.deadlines)
    mail_free(&loop.mail)
    poller_free(&loop.poller)
    sender_free(&loop.sender)
    queues_free(&loop.queues)
    policies_free(&loop.policies)
    buf_unref(loop.drain.goaway)
    slots_free(&loop.dirty)
    slots_free(&loop.paused)
    leavers_free(&loop.leavers)
    look_free(loop)
    free(loop.dooms.at)
    ids_free(&loop.waiting)
    ephemerals_free(&loop.ephemerals)
    key_ring_wipe(&loop.keys)
    sodium.memzero(&loop.tickets, sizeof(TicketKeys))
    replay_free(&loop.replays)
    zstd_compressor_free(loop.compressor)
    zstd_decompressor_free(loop.expander)
    dictionaries_free(&loop.dictionaries)
    qw_unmap(loop.read_buf, READ_BYTES + KEPT_MAX)
    qw_unmap(loop.scratch, SCRATCH_BYTES)
    qw_unmap(loop.raw_body, MAX_RAW_BODY)


cdef void loop_free_events(Loop* loop) noexcept nogil:
    events_free(&loop.events)


cdef void _notify(Loop* loop) noexcept nogil:
    """Tells Python, once until it has looked."""
    if events_waiting(&loop.events):
        bell_ring(&loop.engine.bell)


cdef void _clock(Loop* loop) noexcept nogil:
    loop.now_ns = qw_clock_ns(0)
    loop.now_s = <uint32_t>((loop.now_ns - loop.engine.start_ns) // 1000000000) + 1
    loop.now_tick = <uint16_t>(<uint64_t>loop.now_s * KEY_TICKS // loop.config.rekey_s)


cdef void _accept(Loop* loop) noexcept nogil:
    cdef uint8_t ip[IP_BYTES]
    cdef uint16_t port = 0
    cdef uint32_t i
    cdef int fd
    cdef uint64_t t = qw_cycles(), until = qw_clock_ns(0) + ACCEPT_NS
    for i in range(loop.config.accept_budget):
        if i % ACCEPT_LOOK == ACCEPT_LOOK - 1 and qw_clock_ns(0) >= until:
            return
        if loop.table.live >= loop.table.cap and (loop.table.oldest != NONE32 or loop.table.parked):
            if i == 0:  # somebody waits
                make_room(loop, True)
            return  # and is accepted in the next turn
        fd = listener_next(&loop.listener, loop.now_ns, ip, &port)
        if fd < 0:
            if loop.listener.accept_again_ns:  # no descriptor was left
                make_room(loop, False)
            return
        conn_open(loop, fd, ip, port)
        t = stage_end(&loop.stats, S_ACCEPT, t, 1)


cdef void _ready(Loop* loop, int i, bint may_read) noexcept nogil:
    cdef uint64_t id = ready_id(&loop.poller, i)
    cdef int what
    cdef Conn* c
    if id == ID_WAKE:
        qw_clear_fd(loop.mail.wake_fd)
        return
    if id == ID_LISTENER:
        if may_read and loop.listener.fd >= 0:
            _accept(loop)
        return
    c = conn_find(&loop.table, id_in_loop(loop.index, id))
    if c == NULL or c.state == DOOMED:
        return
    what = ready_what(&loop.poller, i)
    if what & READY_OUT:
        flush_conn(loop, c)
        if c.state == CLOSING:
            finish(loop, c)
    if c.state == DOOMED:
        return
    if what & READY_IN:
        if may_read or state_in(c.state, DEAF):
            conn_readable(loop, c)
    elif what & READY_END:
        doom_quiet(loop, c, R_PEER_RESET, 0)


cdef int _poll(Loop* loop, int timeout_ms) noexcept nogil:
    """Waits, and acts on what is ready. While events wait for Python, sockets are not read."""
    cdef bint may_read = events_settle(&loop.events)
    cdef uint64_t t, until, slept_from = 0
    cdef int i, n
    if not may_read:
        stat_add(&loop.stats, N_READ_PAUSES, 1)
        _notify(loop)
        qw_nap(loop.mail.wake_fd, 1)
        timeout_ms = 0
    elif timeout_ms > 0 and not mail_may_sleep(&loop.mail):
        timeout_ms = 0
    t = qw_cycles()
    if timeout_ms > 0:
        slept_from = qw_clock_ns(0)
    n = poller_wait(&loop.poller, timeout_ms)
    if timeout_ms > 0:
        mail_awake(&loop.mail)
        _clock(loop)
        loop.turn_ns += loop.now_ns - slept_from
    else:
        stage_end(&loop.stats, S_POLL, t, 1)
    until = qw_clock_ns(0) + READ_NS
    for i in range(n):
        if i % READ_LOOK == READ_LOOK - 1 and qw_clock_ns(0) >= until:
            break
        _ready(loop, i, may_read and loop.events.over_len == 0)
    return n


cdef void _deadlines(Loop* loop) noexcept nogil:
    cdef uint32_t expired[EXPIRED_ROOM]
    cdef uint32_t n, i
    cdef uint64_t t
    if not deadlines_begin(&loop.deadlines, loop.table.high, loop.now_s):
        return
    t = qw_cycles()
    n = deadlines_due(&loop.deadlines, loop.now_s, SCAN_SLOTS, expired, EXPIRED_ROOM)
    for i in range(n):
        expire(loop, &loop.table.conns[expired[i]])
    stage_end(&loop.stats, S_SCAN, t, 1)


cdef void _flush(Loop* loop) noexcept nogil:
    cdef uint32_t i, n = 0, end = loop.dirty.len
    cdef uint64_t until = 0
    cdef Conn* c
    if end == 0:
        return
    stage_begin(loop)
    for i in range(end):
        if i % LOOK == LOOK - 1:
            if until == 0:
                until = qw_clock_ns(0) + <uint64_t>loop.config.sweep_budget_us * 1000
            elif qw_clock_ns(0) >= until:
                break
        n = i + 1
        c = &loop.table.conns[loop.dirty.at[i]]
        c.flags &= <uint16_t>~<unsigned int>F_DIRTY
        if c.state == FREE or c.state == DOOMED or c.flags & F_BLOCKED:
            continue
        if c.state == CLOSING:  # the end follows its last bytes: not by way of the stage
            stage_finish(loop)
            flush_conn(loop, c)
            finish(loop, c)
            stage_begin(loop)
        else:
            flush_conn(loop, c)
    stage_finish(loop)
    # left: those whose turn did not come, and those with more to send than one flush takes
    loop.dirty.len -= n
    if loop.dirty.len:
        memmove(loop.dirty.at, loop.dirty.at + n, loop.dirty.len * sizeof(uint32_t))


cdef int _timeout(Loop* loop) noexcept nogil:
    """Milliseconds the next poll may sleep."""
    cdef uint64_t wait_ns
    if loop.dirty.len or loop.waiting.count or loop.dooms.n or deadlines_scanning(&loop.deadlines) or mail_waiting(&loop.mail):
        return 0
    if loop.ephemerals.n < loop.ephemerals.cap or loop.resync.on or loop.pick.left or loop.pick.forgetting or loop.look != NULL or not qw_load32(&loop.running):
        return 0
    if loop.drain.on and loop.drain.at < loop.table.high:
        return 1
    if leavers_scanning(&loop.leavers, loop.now_s):
        return 0
    wait_ns = fanout_wait(loop)
    if loop.paused.len:
        wait_ns = min(wait_ns, loop.resume_ns - min(loop.now_ns, loop.resume_ns))
    if loop.topics.owing.len:
        wait_ns = min(wait_ns, topics_tell_wait(&loop.topics, loop.now_ns))
    if loop.listener.accept_again_ns:
        wait_ns = min(wait_ns, loop.listener.accept_again_ns - min(loop.now_ns, loop.listener.accept_again_ns))
    if wait_ns == 0:
        return 0
    return <int>(wait_ns // 1000000) + 1 if wait_ns < <uint64_t>SLEEP_MS * 1000000 else SLEEP_MS


cdef void* loop_main(void* arg) noexcept nogil:
    cdef Loop* loop = <Loop*>arg
    cdef int ready
    sender_start(&loop.sender, loop.config.sender)
    while qw_load32(&loop.running):
        _clock(loop)
        loop.turn_ns = loop.now_ns
        commands_run(loop)
        listener_resume(&loop.listener, loop.now_ns)
        if loop.paused.len:
            reads_resume(loop)
        ready = _poll(loop, _timeout(loop))
        handshake_waiting(loop)
        _notify(loop)  # Python works while this thread writes
        _deadlines(loop)
        if loop.config.max_age_s:
            ages_step(loop)
        if loop.leavers.n:
            leavers_step(loop)
        if loop.pick.left or loop.pick.forgetting:
            pick_step(loop)
        if loop.look != NULL:
            look_step(loop)
        if loop.drain.on:
            drain_step(loop)
        fanout_work(loop)
        if loop.topics.owing.len:
            topics_tell(&loop.topics, loop.now_ns)
        _flush(loop)
        reap(loop)
        if loop.resync.on:
            resync_step(loop)  # now that nobody is doomed: who lost the connection in this turn is parked, or gone and told
        _notify(loop)
        if ready == 0 and loop.waiting.count == 0 and loop.topics.active.len == 0:
            ephemerals_fill(&loop.ephemerals, FILL)
        stat_add(&loop.stats, N_TICKS, 1)
        turn_add(&loop.stats, qw_clock_ns(0) - loop.turn_ns)
    return NULL
