from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcmp

from crypto.sodium cimport sodium
from frame.varint cimport uv_put
from frame.constants cimport FRAME_PONG
from gateway_core.conn.fanout cimport publish_local
from gateway_core.conn.session cimport close_with, login
from gateway_core.conn.topics cimport topic_budget, topic_join, topic_leave
from gateway_core.conn.users cimport tell_session, tell_topic, user_find, user_first
from gateway_core.conn.transport cimport enqueue
from gateway_core.includes.atomics cimport qw_store32
from gateway_core.includes.cpu cimport qw_cycles, qw_hash
from gateway_core.includes.sys cimport qw_clock_ns
from gateway_core.leaf.conn_table cimport conn_find
from gateway_core.leaf.mailbox cimport mail_pop
from gateway_core.leaf.shared_buf cimport buf_frame, buf_unref
from gateway_core.leaf.stats cimport (
    N_COMMANDS,
    N_REFUSED_LOGINS,
    N_STALE_COMMANDS,
    R_COMMAND,
    R_KICKED,
    S_MAILBOX,
    stage_end,
    stat_add,
)
from gateway_core.net.listener cimport listener_close
from gateway_core.types cimport (
    CMD_BUDGET,
    CMD_DRAIN,
    CMD_JOIN,
    CMD_JOIN_USER,
    CMD_KEYS,
    CMD_KICK,
    CMD_LEAVE,
    CMD_LEAVE_USER,
    CMD_LOGIN,
    CMD_POLICY,
    CMD_PUBLISH,
    CMD_REFUSE,
    CMD_SEND,
    CMD_STOP,
    CMD_TELL,
    LIVE,
    MAX_BUDGETS,
    NONE32,
    Budget,
    Cmd,
    Conn,
    KeyRing,
    Loop,
    Session,
    SharedBuf,
    Topic,
    layout_mark,
    session_device,
    session_of,
    session_user,
)

LAYOUT = layout_mark()

cdef enum:
    TELL_SLICE = 1024  # slots or topics a tick
    LOOK = 64  # commands between two looks at the clock
    BUDGET_NS = 2000000  # of one tick, so that sockets get their turn


cdef char* _text(NameBlob* b) noexcept nogil:
    return <char*>b + sizeof(NameBlob)


cdef void _kick(Loop* loop, NameBlob* b, int code) noexcept nogil:
    cdef char* user = _text(b)
    cdef char* device = user + b.a_len
    cdef uint32_t slot = user_find(loop, qw_hash(user, b.a_len, loop.engine.seed), user, b.a_len)
    cdef Conn* c
    cdef Session* s
    while slot != NONE32:
        c = &loop.conns[slot]
        s = session_of(c)
        slot = s.next
        if c.state != LIVE or s.id >= b.before:
            continue
        if b.b_len and (s.device_len != b.b_len or memcmp(session_device(s), device, b.b_len) != 0):
            continue
        close_with(loop, c, R_KICKED, code, <const uint8_t*>device + b.b_len, b.c_len)


cdef void _user_topic(Loop* loop, NameBlob* b, bint joins) noexcept nogil:
    """All sessions of a user on this loop join or leave a topic. The next slot is read first: joining moves a Session."""
    cdef char* topic = _text(b)
    cdef char* user = topic + b.a_len
    cdef uint32_t slot = user_find(loop, qw_hash(user, b.b_len, loop.engine.seed), user, b.b_len)
    cdef Conn* c
    while slot != NONE32:
        c = &loop.conns[slot]
        slot = session_of(c).next
        if c.state != LIVE:
            continue
        if joins:
            topic_join(loop, c, topic, b.a_len)
        else:
            topic_leave(loop, c, topic, b.a_len)


cdef void _set_pong(Loop* loop) noexcept nogil:
    cdef uint8_t rev[10]
    cdef SharedBuf* b = buf_frame(FRAME_PONG, NULL, 0, rev, <size_t>uv_put(rev, loop.policy_rev), NULL, 0)
    if b != NULL:
        buf_unref(loop.pong)
        loop.pong = b


cdef void _set_policy(Loop* loop, Cmd* cmd) noexcept nogil:
    loop.policy_rev = <uint32_t>cmd.x
    loop.ping_interval_s = cmd.code
    buf_unref(loop.policy)
    loop.policy = <SharedBuf*>cmd.ptr
    _set_pong(loop)


cdef void _set_keys(Loop* loop, KeyRing* ring) noexcept nogil:
    loop.keys = ring[0]
    sodium.memzero(ring, sizeof(KeyRing))
    free(ring)


cdef void _set_budget(Loop* loop, Budget* wanted) noexcept nogil:
    cdef uint32_t i
    for i in range(loop.n_budgets):
        if loop.budgets[i].prefix_len == wanted.prefix_len and memcmp(
            loop.budgets[i].prefix, wanted.prefix, wanted.prefix_len
        ) == 0:
            break
    else:
        i = loop.n_budgets
    if i < MAX_BUDGETS:
        loop.budgets[i] = wanted[0]
        if i == loop.n_budgets:
            loop.n_budgets += 1
    free(wanted)
    for i in range(loop.topics.ids):
        if loop.topics.by_id[i] != NULL:
            topic_budget(loop, loop.topics.by_id[i])


cdef void _drain(Loop* loop, Cmd* cmd) noexcept nogil:
    listener_close(loop)
    loop.draining = True
    buf_unref(loop.goaway)
    loop.goaway = <SharedBuf*>cmd.ptr
    loop.drain_at = 0
    loop.drain_gap_ns = cmd.x // (loop.high if loop.high else 1)
    loop.drain_next_ns = loop.now_ns


cdef void drain_step(Loop* loop) noexcept nogil:
    cdef Conn* c
    while loop.draining and loop.drain_at < loop.high and loop.drain_next_ns <= loop.now_ns:
        c = &loop.conns[loop.drain_at]
        loop.drain_at += 1
        loop.drain_next_ns += loop.drain_gap_ns
        if c.state == LIVE:
            enqueue(loop, c, loop.goaway)


cdef void tell_step(Loop* loop) noexcept nogil:
    """EV_TOPIC for every user and topic here (EV_SESSION for sessions), in slices, then one with an empty name."""
    cdef uint32_t i
    cdef Topic* t
    cdef Conn* c
    for i in range(<uint32_t>TELL_SLICE):
        if not loop.telling or loop.events.over_len:
            return
        if loop.tell_slot < loop.high:
            c = &loop.conns[loop.tell_slot]
            loop.tell_slot += 1
            if c.state == LIVE and user_first(loop, c):
                tell_topic(loop, b"u/", 2, session_user(session_of(c)), session_of(c).user_len, 1)
            if c.state == LIVE and loop.tell_sessions:
                tell_session(loop, c)
        elif loop.tell_topic < loop.topics.ids:
            t = loop.topics.by_id[loop.tell_topic]
            loop.tell_topic += 1
            if t != NULL:
                tell_topic(loop, b"", 0, t.name, t.name_len, 1)
        else:
            loop.telling = False
            tell_topic(loop, b"", 0, b"", 0, 0)


cdef void _on_conn(Loop* loop, Cmd* cmd, Conn* c) noexcept nogil:
    """Commands to one connection; a dead id hits nothing."""
    cdef NameBlob* b
    if cmd.kind == CMD_SEND:
        if c != NULL and c.state == LIVE:
            enqueue(loop, c, <SharedBuf*>cmd.ptr)
        else:
            stat_add(loop, N_STALE_COMMANDS, 1)
        buf_unref(<SharedBuf*>cmd.ptr)
        return
    b = <NameBlob*>cmd.ptr
    if c == NULL:
        stat_add(loop, N_STALE_COMMANDS, 1)
    elif cmd.kind == CMD_REFUSE:
        stat_add(loop, N_REFUSED_LOGINS, 1 if c.state < LIVE else 0)
        close_with(loop, c, R_COMMAND, <int>cmd.code, <const uint8_t*>_text(b), b.a_len)
    elif c.state != LIVE:
        stat_add(loop, N_STALE_COMMANDS, 1)
    elif cmd.kind == CMD_JOIN:
        topic_join(loop, c, _text(b), b.a_len)
    else:
        topic_leave(loop, c, _text(b), b.a_len)
    free(b)


cdef void _run(Loop* loop, Cmd* cmd) noexcept nogil:
    if cmd.kind == CMD_PUBLISH:
        publish_local(loop, <SharedBuf*>cmd.ptr)
        buf_unref(<SharedBuf*>cmd.ptr)
    elif cmd.kind == CMD_LOGIN:
        login(loop, conn_find(loop, cmd.conn), <Session*>cmd.ptr, <SharedBuf*>cmd.x, cmd.conn)
    elif cmd.kind == CMD_SEND or cmd.kind == CMD_REFUSE or cmd.kind == CMD_JOIN or cmd.kind == CMD_LEAVE:
        _on_conn(loop, cmd, conn_find(loop, cmd.conn))
    elif cmd.kind == CMD_KICK:
        _kick(loop, <NameBlob*>cmd.ptr, <int>cmd.code)
        free(cmd.ptr)
    elif cmd.kind == CMD_JOIN_USER or cmd.kind == CMD_LEAVE_USER:
        _user_topic(loop, <NameBlob*>cmd.ptr, cmd.kind == CMD_JOIN_USER)
        free(cmd.ptr)
    elif cmd.kind == CMD_POLICY:
        _set_policy(loop, cmd)
    elif cmd.kind == CMD_KEYS:
        _set_keys(loop, <KeyRing*>cmd.ptr)
    elif cmd.kind == CMD_BUDGET:
        _set_budget(loop, <Budget*>cmd.ptr)
    elif cmd.kind == CMD_DRAIN:
        _drain(loop, cmd)
    elif cmd.kind == CMD_TELL:
        loop.telling = True
        loop.tell_sessions = cmd.a
        loop.tell_slot = 0
        loop.tell_topic = 0
    elif cmd.kind == CMD_STOP:
        qw_store32(&loop.running, 0)


cdef void commands_run(Loop* loop) noexcept nogil:
    cdef Cmd cmd
    cdef uint32_t n = 0
    cdef uint64_t t = qw_cycles()
    while not loop.stalled and mail_pop(&loop.mail, &cmd):
        _run(loop, &cmd)
        n += 1
        if n % LOOK == 0 and qw_clock_ns(0) - loop.now_ns > BUDGET_NS:
            break
    if n:
        stat_add(loop, N_COMMANDS, n)
        stage_end(loop, S_MAILBOX, t, n)


cdef void command_drop(Cmd* cmd) noexcept nogil:
    if cmd.kind == CMD_PUBLISH or cmd.kind == CMD_SEND or cmd.kind == CMD_POLICY or cmd.kind == CMD_DRAIN:
        buf_unref(<SharedBuf*>cmd.ptr)
        return
    if cmd.kind == CMD_LOGIN:
        buf_unref(<SharedBuf*>cmd.x)
    free(cmd.ptr)
