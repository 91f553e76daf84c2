from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from cmodules cimport layout
from crypto.aead cimport aead_rekey, aead_seal
from frame.constants cimport (
    CLOSE_INTERNAL,
    CLOSE_SLOW_CONSUMER,
    EVENT_SYNC,
    FRAME_EVENT,
    FRAME_REKEY,
    FRAME_TYPE_MASK,
    RECORD_TARGET_PLAINTEXT,
)
from frame.frames cimport frame_header_put
from frame.record cimport put_u16
from frame.websocket cimport WS_BINARY, WS_HEADER_BYTES, ws_header_put
from gateway_core.conn.states cimport BEFORE_LOGIN, E_JUDGED, LIVE, state_in
from gateway_core.conn.table cimport (
    F_BLOCKED,
    F_DIRTY,
    F_LOST,
    F_MISSED,
    F_PAUSED,
    F_SYNC_DUE,
    F_WS,
    F_ZSTD,
    Session,
    conn_move,
    poll_id,
    session_of,
    slot_of,
)
from gateway_core.includes.cpu cimport qw_cycles
from gateway_core.includes.sys cimport qw_again, qw_send_or_errno
from gateway_core.leaf.lists cimport slots_push
from gateway_core.leaf.policies cimport policies_bytes
from gateway_core.leaf.ring cimport unacked_erase, unacked_push
from gateway_core.leaf.shared_buf cimport buf_data, buf_frame, buf_packed_by, buf_unref
from gateway_core.leaf.stats cimport (
    N_BYTES_OUT,
    N_COMPRESSED,
    N_PARTIAL_WRITES,
    N_RECORDS_OUT,
    N_REKEYS_OUT,
    N_SLOW_CONSUMER,
    R_MEMORY,
    R_NONCES,
    R_PEER_RESET,
    R_SLOW_CONSUMER,
    S_GATHER,
    S_SEAL,
    S_WRITE,
    flush_add,
    stage_end,
    stat_add,
)
from gateway_core.net.out_queue cimport (
    Q_FULL,
    Q_MEMORY,
    Q_OK,
    OutQueue,
    queue_peek,
    queue_pop,
    queue_push,
    queue_settle,
    queue_tail,
    queue_tail_done,
)
from gateway_core.net.poller cimport poller_want
from gateway_core.net.sender cimport Staged, sender_empty, sender_full, sender_space, sender_run, sender_stage
from gateway_core.types cimport FLUSH_BYTES, KEY_TICKS, Doom, Dooms, dictionary_of

LAYOUT = layout()

cdef enum:
    BASE = 16  # bytes before the records for a WebSocket header
    DOOMS_START = 256


cdef void _judge(Loop* loop, Conn* c, int reason, int code, bint quiet) noexcept nogil:
    cdef uint32_t cap
    cdef Doom* grown
    cdef Doom* d
    cdef Dooms* dooms = &loop.dooms
    cdef uint8_t was = c.state
    if dooms.n == dooms.cap:
        cap = dooms.cap * 2 if dooms.cap else DOOMS_START
        grown = <Doom*>realloc(dooms.at, cap * sizeof(Doom))
        if grown == NULL:
            return
        dooms.at = grown
        dooms.cap = cap
    if not conn_move(&loop.table, c, E_JUDGED):  # the first verdict holds
        return
    d = &dooms.at[dooms.n]
    d.slot = slot_of(&loop.table, c)
    d.code = <uint16_t>code
    d.reason = <uint8_t>reason
    d.was = was
    d.quiet = quiet
    dooms.n += 1


cdef void doom(Loop* loop, Conn* c, int reason, int code) noexcept nogil:
    _judge(loop, c, reason, code, False)


cdef void doom_quiet(Loop* loop, Conn* c, int reason, int code) noexcept nogil:
    _judge(loop, c, reason, code, True)


cdef ptrdiff_t seal_record(Loop* loop, Conn* c, const uint8_t* plain, size_t n, uint8_t* out) noexcept nogil:
    cdef int sealed
    cdef uint16_t age = loop.now_tick - c.tx_tick
    stat_add(&loop.stats, N_RECORDS_OUT, 1)
    if ((c.tx.n + 1) & (loop.config.rekey_records - 1)) and age < KEY_TICKS:
        sealed = aead_seal(c.suite, &c.tx, plain, n, out + 2)
    else:
        if plain != out + 2:
            memcpy(out + 2, plain, n)
        n += frame_header_put(out + 2 + n, FRAME_REKEY, 0, 0, 0)
        sealed = aead_seal(c.suite, &c.tx, out + 2, n, out + 2)
        aead_rekey(c.suite, &c.tx)
        c.tx_tick = loop.now_tick
        stat_add(&loop.stats, N_REKEYS_OUT, 1)
    if sealed < 0:
        return -1
    put_u16(out, <uint16_t>sealed)
    return 2 + sealed


cdef inline void _mark_dirty(Loop* loop, Conn* c) noexcept nogil:
    if not c.flags & F_DIRTY and slots_push(&loop.dirty, slot_of(&loop.table, c)) == 0:
        c.flags |= F_DIRTY


cdef inline void _count_out(Loop* loop, Conn* c, ptrdiff_t sent) noexcept nogil:
    stat_add(&loop.stats, N_BYTES_OUT, sent)
    if loop.policies.canaries and c.state == LIVE:
        policies_bytes(&loop.policies, session_of(c).told, <size_t>sent)


cdef void _written(Loop* loop, Conn* c, const uint8_t* p, size_t n, ptrdiff_t sent) noexcept nogil:
    """The socket took `sent` of n sealed bytes, or answered -errno; the rest is kept as it is."""
    if sent < 0:
        if not qw_again(<int>-sent):
            c.flags |= F_LOST
            doom_quiet(loop, c, R_PEER_RESET, 0)
            return
        sent = 0
    _count_out(loop, c, sent)
    if <size_t>sent < n:
        stat_add(&loop.stats, N_PARTIAL_WRITES, 1)
        if state_in(c.state, BEFORE_LOGIN):  # nothing is kept for a peer that takes not even a handshake
            c.flags |= F_LOST
            doom_quiet(loop, c, R_SLOW_CONSUMER, CLOSE_SLOW_CONSUMER)
            return
        if queue_tail(&loop.queues, &c.out, p + sent, n - <size_t>sent) < 0:
            c.flags |= F_LOST
            doom_quiet(loop, c, R_MEMORY, CLOSE_INTERNAL)
            return
        if not c.flags & F_BLOCKED:
            c.flags |= F_BLOCKED
            poller_want(&loop.poller, c.fd, poll_id(&loop.table, c), not c.flags & F_PAUSED, True)


cdef void stage_begin(Loop* loop) noexcept nogil:
    loop.sender.open = loop.sender.ring != NULL


cdef void _stage_send(Loop* loop) noexcept nogil:
    cdef uint64_t t = qw_cycles()
    cdef uint32_t i, n = loop.sender.n
    cdef Staged* one
    if n == 0:
        return
    sender_run(&loop.sender)
    for i in range(n):
        one = &loop.sender.at[i]
        _written(loop, <Conn*>one.owner, one.p, one.n, one.result)
    sender_empty(&loop.sender)
    stage_end(&loop.stats, S_WRITE, t, n)


cdef void stage_finish(Loop* loop) noexcept nogil:
    _stage_send(loop)
    loop.sender.open = False


cdef uint8_t* _space(Loop* loop) noexcept nogil:
    """Where the records of the next flush are sealed; BASE bytes before it are free."""
    if not loop.sender.open:
        return loop.scratch + BASE
    if sender_full(&loop.sender):
        _stage_send(loop)
    return sender_space(&loop.sender) + BASE


cdef void _write_records(Loop* loop, Conn* c, uint8_t* p, size_t n) noexcept nogil:
    """Writes n bytes of records standing at p, or leaves them staged there."""
    cdef uint8_t header[WS_HEADER_BYTES]
    cdef uint64_t t
    cdef size_t h
    if c.flags & F_WS:
        h = ws_header_put(header, WS_BINARY, n)
        p -= h
        memcpy(p, header, h)
        n += h
    if loop.sender.open:
        sender_stage(&loop.sender, c.fd, c, p, n)
        return
    t = qw_cycles()
    _written(loop, c, p, n, qw_send_or_errno(c.fd, p, <uint32_t>n))
    stage_end(&loop.stats, S_WRITE, t, 1)


cdef void send_direct(Loop* loop, Conn* c, SharedBuf* b, const Cuts* cuts) noexcept nogil:
    cdef uint8_t* out = _space(loop)
    cdef uint8_t* at = out
    cdef uint64_t t = qw_cycles()
    cdef uint32_t i, begin = 0
    cdef ptrdiff_t sealed
    for i in range(cuts.n):
        sealed = seal_record(loop, c, buf_data(b) + begin, cuts.end[i] - begin, at)
        if sealed < 0:
            c.flags |= F_LOST
            doom_quiet(loop, c, R_NONCES, CLOSE_INTERNAL)
            return
        begin = cuts.end[i]
        at += sealed
    stage_end(&loop.stats, S_SEAL, t, cuts.n)
    _write_records(loop, c, out, <size_t>(at - out))
    flush_add(&loop.stats, b.frames)


cdef void send_raw(Loop* loop, Conn* c, const uint8_t* p, size_t n, bint framed) noexcept nogil:
    if c.out != NULL and c.out.tail != NULL:  # the peer reads nothing while shaking hands
        doom_quiet(loop, c, R_PEER_RESET, 0)
        return
    if framed:
        memcpy(loop.scratch + BASE, p, n)
        _write_records(loop, c, loop.scratch + BASE, n)
    else:
        _written(loop, c, p, n, qw_send_or_errno(c.fd, p, <uint32_t>n))


cdef bint _flush_tail(Loop* loop, Conn* c) noexcept nogil:
    """1 when no tail is left."""
    cdef OutQueue* q = c.out
    cdef ptrdiff_t sent
    if q.tail == NULL:
        return True
    sent = qw_send_or_errno(c.fd, q.tail + q.tail_at, q.tail_len - q.tail_at)
    if sent < 0:
        if not qw_again(<int>-sent):
            c.flags |= F_LOST
            doom_quiet(loop, c, R_PEER_RESET, 0)
        return False
    _count_out(loop, c, sent)
    q.tail_at += <uint32_t>sent
    if q.tail_at < q.tail_len:
        return False
    queue_tail_done(&loop.queues, q)
    return True


cdef ptrdiff_t _gather(Loop* loop, Conn* c, uint8_t* out, uint32_t* frames) noexcept nogil:
    """Queued frames -> records at `out`; their bytes, or -1 when the nonces are used up."""
    cdef uint8_t* at = out
    cdef OutQueue* q = c.out
    cdef SharedBuf* b = queue_peek(q)
    cdef SharedBuf* form
    cdef size_t n, total = 0
    cdef ptrdiff_t sealed
    cdef uint64_t t = qw_cycles()
    while b != NULL and (total == 0 or total + b.size <= FLUSH_BYTES):
        n = 0
        while b != NULL and (n == 0 or n + b.size <= RECORD_TARGET_PLAINTEXT) and (total + n == 0 or total + n + b.size <= FLUSH_BYTES):
            form = b
            if c.flags & F_ZSTD:
                form = buf_packed_by(b, loop.compressor, dictionary_of(loop, c))
                stat_add(&loop.stats, N_COMPRESSED, form != b)
            memcpy(at + 2 + n, buf_data(form), form.size)
            n += form.size
            frames[0] += b.frames
            buf_unref(queue_pop(&loop.queues, q))
            b = queue_peek(q)
        total += n
        t = stage_end(&loop.stats, S_GATHER, t, 1)
        sealed = seal_record(loop, c, at + 2, n, at)
        t = stage_end(&loop.stats, S_SEAL, t, 1)
        if sealed < 0:
            return -1
        at += sealed
    return at - out


cdef void flush_behind(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil:
    cdef uint8_t* out = loop.scratch + BASE
    cdef ptrdiff_t sealed = 0
    cdef uint32_t frames = 0
    memcpy(out, p, n)
    if c.out != NULL:
        sealed = _gather(loop, c, out + n, &frames)
    if sealed < 0:
        c.flags |= F_LOST
        doom_quiet(loop, c, R_NONCES, CLOSE_INTERNAL)
        return
    _write_records(loop, c, out, n + <size_t>sealed)
    if frames:
        flush_add(&loop.stats, frames)
        queue_settle(&loop.queues, &c.out)


cdef void flush_conn(Loop* loop, Conn* c) noexcept nogil:
    cdef ptrdiff_t n
    cdef uint32_t frames = 0
    cdef uint8_t* out
    if c.out == NULL or c.flags & F_LOST:
        return
    if not _flush_tail(loop, c):
        return
    if queue_peek(c.out) != NULL:
        out = _space(loop)
        n = _gather(loop, c, out, &frames)
        if n < 0:
            c.flags |= F_LOST
            doom_quiet(loop, c, R_NONCES, CLOSE_INTERNAL)
            return
        _write_records(loop, c, out, <size_t>n)
        flush_add(&loop.stats, frames)
    if c.out.tail == NULL:
        if queue_peek(c.out) != NULL:
            _mark_dirty(loop, c)
        if c.flags & F_BLOCKED:
            c.flags &= <uint16_t>~<unsigned int>F_BLOCKED
            poller_want(&loop.poller, c.fd, poll_id(&loop.table, c), not c.flags & F_PAUSED, False)
    queue_settle(&loop.queues, &c.out)


cdef void msg_number(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil:
    cdef Session* s = session_of(c)
    c.msgs_sent += 1
    if b.erases:
        unacked_erase(&s.unacked, &loop.stats, b)
    if s.until:
        unacked_push(&s.unacked, &loop.config.unacked, &loop.stats, b, c.msgs_sent)


cdef void hold(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil:
    if b.msgs:
        msg_number(loop, c, b)
    elif (buf_data(b)[0] & FRAME_TYPE_MASK) == FRAME_EVENT:
        if b.erases:
            unacked_erase(&session_of(c).unacked, &loop.stats, b)
        c.flags |= F_SYNC_DUE if b.body_at < b.size and buf_data(b)[b.body_at] == EVENT_SYNC else F_MISSED


cdef void enqueue(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil:
    cdef int verdict = queue_push(&loop.queues, &c.out, b)
    if verdict == Q_OK:
        if b.msgs:
            msg_number(loop, c, b)
        elif b.erases:
            unacked_erase(&session_of(c).unacked, &loop.stats, b)
        _mark_dirty(loop, c)
    else:
        _not_queued(loop, c, verdict)


cdef void enqueue_again(Loop* loop, Conn* c, SharedBuf* b) noexcept nogil:
    cdef int verdict = queue_push(&loop.queues, &c.out, b)
    if verdict == Q_OK:
        _mark_dirty(loop, c)
    else:
        _not_queued(loop, c, verdict)


cdef void _not_queued(Loop* loop, Conn* c, int verdict) noexcept nogil:
    if verdict == Q_FULL:
        stat_add(&loop.stats, N_SLOW_CONSUMER, 1)
        doom(loop, c, R_SLOW_CONSUMER, CLOSE_SLOW_CONSUMER)
    elif verdict == Q_MEMORY:
        c.flags |= F_LOST
        doom_quiet(loop, c, R_MEMORY, CLOSE_INTERNAL)


cdef void enqueue_frame(Loop* loop, Conn* c, int type, const uint8_t* body, size_t n) noexcept nogil:
    cdef SharedBuf* b = buf_frame(type, NULL, 0, body, n, NULL, 0)
    if b == NULL:
        doom_quiet(loop, c, R_MEMORY, CLOSE_INTERNAL)
        return
    enqueue(loop, c, b)
    buf_unref(b)
