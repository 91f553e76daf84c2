from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from cmodules cimport layout
from crypto.sodium cimport sodium
from crypto.ticket cimport TicketKeys
from frame.names cimport (
    GROUP_PREFIX,
    GROUP_PREFIX_BYTES,
    ROOM_PREFIX,
    ROOM_PREFIX_BYTES,
    USER_PREFIX,
    USER_PREFIX_BYTES,
)
from gateway_core.conn.announce cimport TOPIC_MAX, Announcer, report_session, report_topic
from gateway_core.conn.easing cimport ease
from gateway_core.conn.fanout cimport publish_local
from gateway_core.conn.handing cimport Handed, handed_drop
from gateway_core.conn.handshake cimport flight_handed
from gateway_core.conn.leaving cimport pick_begin, send_away, stay_begin
from gateway_core.conn.looking cimport look_begin
from gateway_core.conn.parking cimport end_parked, tell_parked
from gateway_core.conn.policy cimport policy_choose
from gateway_core.conn.resume cimport TakeAsk, resume_refused, session_take
from gateway_core.conn.session cimport close_with, login
from gateway_core.conn.states cimport BEFORE_LOGIN, HELD, LIVE, PARKED, state_in
from gateway_core.conn.table cimport (
    F_DICTIONARY,
    Conn,
    Session,
    conn_find,
    conn_id,
    session_device,
    session_of,
    session_topics,
    session_user,
)
from gateway_core.conn.topics cimport Budget, Topic, topic_join, topic_leave, topic_missed, topics_budget
from gateway_core.conn.transport cimport enqueue, hold
from gateway_core.conn.users cimport user_find
from gateway_core.includes.atomics cimport qw_store32
from gateway_core.includes.cpu cimport qw_cycles, qw_hash
from gateway_core.includes.sys cimport qw_clock_ns
from gateway_core.leaf.class_budget cimport ClassRates
from gateway_core.leaf.dictionaries cimport dictionaries_set
from gateway_core.leaf.events cimport TOPIC_ENDED, TOPIC_HELD
from gateway_core.leaf.keys cimport KeyRing, key_ring_wipe
from gateway_core.leaf.lists cimport NONE32
from gateway_core.leaf.mailbox cimport (
    CMD_DICTIONARY,
    CMD_AWAY,
    CMD_BUDGET,
    CMD_DENY,
    CMD_DRAIN,
    CMD_EASE,
    CMD_HANDED,
    CMD_JOIN,
    CMD_JOIN_USER,
    CMD_KEYS,
    CMD_KICK,
    CMD_LEAVE,
    CMD_LEAVE_USER,
    CMD_LOGIN,
    CMD_LOOK,
    CMD_PICK,
    CMD_POLICY_CHOOSE,
    CMD_POLICY_ENTRY,
    CMD_POLICY_ROW,
    CMD_PUBLISH,
    CMD_REFUSE,
    CMD_RESYNC,
    CMD_SEND,
    CMD_STAY,
    CMD_STOP,
    CMD_TAKE,
    CMD_TICKETS,
    CMD_UNPARK,
    mail_pop,
)
from gateway_core.leaf.policies cimport PolicyRow, entry_set, rows_set
from gateway_core.leaf.ring cimport unacked_forget
from gateway_core.leaf.shared_buf cimport SharedBuf, buf_unref
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
from gateway_core.types cimport Drain, LookFor, Resync

LAYOUT = layout()

cdef enum:
    RESYNC_SLICE = 1024  # slots or topics a tick
    ROOM_TEXT = 16 * TOPIC_MAX  # a room and its tags, as they are told
    LOOK = 64  # commands between two looks at the clock
    BUDGET_NS = 2000000  # of one tick, so that sockets get their turn


cdef char* _text(NameBlob* b) noexcept nogil:
    return <char*>b + sizeof(NameBlob)


cdef void _kick(Loop* loop, NameBlob* b, int code) noexcept nogil:
    cdef char* user = _text(b)
    cdef char* device = user + b.a_len
    cdef uint32_t slot = user_find(&loop.users, qw_hash(user, b.a_len, loop.engine.seed), user, b.a_len)
    cdef Conn* c
    cdef Session* s
    while slot != NONE32:
        c = &loop.table.conns[slot]
        s = session_of(c)
        slot = s.next
        if not state_in(c.state, HELD) or s.id >= b.before:
            continue
        if b.b_len and (s.device_len != b.b_len or memcmp(session_device(s), device, b.b_len) != 0):
            continue
        close_with(loop, c, R_KICKED, code, <const uint8_t*>device + b.b_len, b.c_len)


cdef void _leave(Loop* loop, Conn* c, const char* topic, size_t n) noexcept nogil:
    """What waits of a group is not for who is out of it."""
    topic_leave(&loop.topics, c, topic, n)
    if n > GROUP_PREFIX_BYTES and memcmp(topic, GROUP_PREFIX, GROUP_PREFIX_BYTES) == 0:
        unacked_forget(&session_of(c).unacked, &loop.stats, topic, n)


cdef void _user_topic(Loop* loop, NameBlob* b, bint joins) noexcept nogil:
    """All sessions of a user on this loop join or leave a topic. The next slot is read first: joining moves a Session."""
    cdef char* topic = _text(b)
    cdef char* user = topic + b.a_len
    cdef uint32_t slot = user_find(&loop.users, qw_hash(user, b.b_len, loop.engine.seed), user, b.b_len)
    cdef Conn* c
    while slot != NONE32:
        c = &loop.table.conns[slot]
        slot = session_of(c).next
        if not state_in(c.state, HELD):
            continue
        if joins:
            topic_join(&loop.topics, c, topic, b.a_len, NULL, loop.now_ns)
        else:
            _leave(loop, c, topic, b.a_len)


cdef void _set_dictionary(Loop* loop, Cmd* cmd) noexcept nogil:
    """Nobody holds the new one until they say so."""
    cdef uint32_t i
    dictionaries_set(&loop.dictionaries, <SharedBuf*>cmd.ptr, <size_t>cmd.x, <int>loop.config.compress_level)
    for i in range(loop.table.high):
        loop.table.conns[i].flags &= <uint16_t>~<unsigned int>F_DICTIONARY


cdef void _set_keys(Loop* loop, KeyRing* ring) noexcept nogil:
    loop.keys = ring[0]
    key_ring_wipe(ring)
    free(ring)


cdef void _drain(Loop* loop, Cmd* cmd) noexcept nogil:
    listener_close(&loop.listener)
    if cmd.ptr == NULL:  # nobody is told
        return
    buf_unref(loop.drain.goaway)
    loop.drain.on = True
    loop.drain.goaway = <SharedBuf*>cmd.ptr
    loop.drain.at = 0
    loop.drain.gap_ns = cmd.x // (loop.table.high if loop.table.high else 1)
    loop.drain.next_ns = loop.now_ns


cdef void drain_step(Loop* loop) noexcept nogil:
    cdef Drain* d = &loop.drain
    cdef Conn* c
    while d.at < loop.table.high and d.next_ns <= loop.now_ns:
        c = &loop.table.conns[d.at]
        d.at += 1
        d.next_ns += d.gap_ns
        if c.state == LIVE:
            enqueue(loop, c, d.goaway)


cdef void _report_user(Announcer* a, Session* s) noexcept nogil:
    report_topic(a, USER_PREFIX, USER_PREFIX_BYTES, session_user(s), s.user_len, TOPIC_HELD)


cdef void _report_session(Loop* loop, Conn* c) noexcept nogil:
    """Once for itself, with no topic, then for each room that it is in, with its tags there behind: r/room#tag#tag."""
    cdef Session* s = session_of(c)
    cdef uint64_t conn = conn_id(&loop.table, c)
    cdef char text[ROOM_TEXT]
    cdef Topic* room
    cdef Topic* t
    cdef uint32_t i, j, n
    report_session(&loop.announcer, conn, s, b"", 0)
    for i in range(s.joined):
        room = loop.topics.by_id[session_topics(s)[i]]
        if room.room_len or memcmp(room.name, ROOM_PREFIX, ROOM_PREFIX_BYTES) != 0:
            continue
        n = room.name_len
        memcpy(text, room.name, n)
        for j in range(s.joined):
            t = loop.topics.by_id[session_topics(s)[j]]
            if t.room_len != room.name_len or memcmp(t.name, room.name, t.room_len) != 0:
                continue
            if n + t.name_len - t.room_len <= <uint32_t>ROOM_TEXT:
                memcpy(text + n, t.name + t.room_len, t.name_len - t.room_len)
                n += t.name_len - t.room_len
        report_session(&loop.announcer, conn, s, text, n)


cdef void resync_step(Loop* loop) noexcept nogil:
    """EV_TOPIC for every user and topic here (EV_SESSION for sessions and the chatrooms they are in), in slices, then
    one with an empty name."""
    cdef Resync* r = &loop.resync
    cdef Announcer* a = &loop.announcer
    cdef uint32_t i
    cdef Topic* t
    cdef Conn* c
    for i in range(<uint32_t>RESYNC_SLICE):
        if not r.on or loop.events.over_len:
            return
        if r.slot < loop.table.high:
            c = &loop.table.conns[r.slot]
            r.slot += 1
            if state_in(c.state, HELD):  # once for each device: which of them is the first one changes meanwhile
                _report_user(a, session_of(c))
                if r.sessions:
                    _report_session(loop, c)
                if r.sessions and c.state == PARKED:
                    tell_parked(loop, c)
        elif r.topic < loop.topics.ids:
            t = loop.topics.by_id[r.topic]
            r.topic += 1
            if t != NULL:
                report_topic(a, b"", 0, t.name, t.name_len, TOPIC_HELD)
        else:
            r.on = False
            report_topic(a, b"", 0, b"", 0, TOPIC_ENDED)


cdef bint _may_join(Conn* c, const char* topic, size_t n) noexcept nogil:
    """A session without a connection is in no room."""
    if c.state == PARKED:
        return n <= ROOM_PREFIX_BYTES or memcmp(topic, ROOM_PREFIX, ROOM_PREFIX_BYTES) != 0
    return c.state == LIVE


cdef void _set_tickets(Loop* loop, const TicketKeys* keys, uint32_t node) noexcept nogil:
    loop.tickets = keys[0]
    loop.node_id = node


cdef void _on_conn(Loop* loop, Cmd* cmd, Conn* c) noexcept nogil:
    """Commands to one connection; a dead id hits nothing."""
    cdef NameBlob* b
    cdef ClassRates own
    if cmd.kind == CMD_SEND:
        if cmd.a and c != NULL and (c.state == LIVE or c.state == PARKED) and session_of(c).life != <uint8_t>cmd.b:
            stat_add(&loop.stats, N_STALE_COMMANDS, 1)  # the answer to a connection that this session had before
        elif c != NULL and c.state == LIVE:
            enqueue(loop, c, <SharedBuf*>cmd.ptr)
        elif c != NULL and c.state == PARKED:
            hold(loop, c, <SharedBuf*>cmd.ptr)
        else:
            stat_add(&loop.stats, N_STALE_COMMANDS, 1)
        buf_unref(<SharedBuf*>cmd.ptr)
        return
    if cmd.kind == CMD_AWAY:
        if c != NULL and c.state == LIVE:
            send_away(loop, c, <SharedBuf*>cmd.ptr, <uint32_t>cmd.x, <int>cmd.code)
        else:
            stat_add(&loop.stats, N_STALE_COMMANDS, 1)
        buf_unref(<SharedBuf*>cmd.ptr)
        return
    if cmd.kind == CMD_POLICY_CHOOSE:
        if c != NULL and c.state == LIVE:
            policy_choose(loop, c, cmd.b, cmd.code)
        else:
            stat_add(&loop.stats, N_STALE_COMMANDS, 1)
        return
    b = <NameBlob*>cmd.ptr
    if cmd.kind == CMD_JOIN and (c == NULL or not _may_join(c, _text(b), b.a_len)):
        topic_missed(&loop.topics, _text(b), b.a_len)
    if c == NULL:
        stat_add(&loop.stats, N_STALE_COMMANDS, 1)
    elif cmd.kind == CMD_REFUSE:
        stat_add(&loop.stats, N_REFUSED_LOGINS, 1 if state_in(c.state, BEFORE_LOGIN) else 0)
        close_with(loop, c, R_COMMAND, <int>cmd.code, <const uint8_t*>_text(b), b.a_len)
    elif cmd.kind == CMD_DENY:
        resume_refused(loop, c, <int>cmd.code, <const uint8_t*>_text(b), b.a_len)
    elif not state_in(c.state, HELD) or (cmd.kind == CMD_JOIN and not _may_join(c, _text(b), b.a_len)):
        stat_add(&loop.stats, N_STALE_COMMANDS, 1)
    elif cmd.kind == CMD_JOIN:
        if b.b_len:
            memcpy(&own, _text(b) + b.a_len, sizeof(own))
        topic_join(&loop.topics, c, _text(b), b.a_len, &own if b.b_len else NULL, loop.now_ns)
    else:
        _leave(loop, c, _text(b), b.a_len)
    free(b)


cdef void _run(Loop* loop, Cmd* cmd) noexcept nogil:
    if cmd.kind == CMD_PUBLISH:
        publish_local(loop, <SharedBuf*>cmd.ptr)
        buf_unref(<SharedBuf*>cmd.ptr)
    elif cmd.kind == CMD_LOGIN:
        login(loop, conn_find(&loop.table, cmd.conn), <Session*>cmd.ptr, <SharedBuf*>cmd.x, cmd.conn, cmd.a, cmd.code)
    elif cmd.kind == CMD_SEND or cmd.kind == CMD_REFUSE or cmd.kind == CMD_JOIN or cmd.kind == CMD_LEAVE or cmd.kind == CMD_AWAY or cmd.kind == CMD_DENY or cmd.kind == CMD_POLICY_CHOOSE:
        _on_conn(loop, cmd, conn_find(&loop.table, cmd.conn))
    elif cmd.kind == CMD_KICK:
        _kick(loop, <NameBlob*>cmd.ptr, <int>cmd.code)
        free(cmd.ptr)
    elif cmd.kind == CMD_JOIN_USER or cmd.kind == CMD_LEAVE_USER:
        _user_topic(loop, <NameBlob*>cmd.ptr, cmd.kind == CMD_JOIN_USER)
        free(cmd.ptr)
    elif cmd.kind == CMD_POLICY_ENTRY:
        entry_set(&loop.policies, cmd.b, <uint32_t>cmd.x, cmd.code, <SharedBuf*>cmd.ptr)
    elif cmd.kind == CMD_POLICY_ROW:
        rows_set(&loop.policies, <uint32_t>cmd.x, cmd.code, <PolicyRow*>cmd.ptr)
        free(cmd.ptr)
    elif cmd.kind == CMD_DICTIONARY:
        _set_dictionary(loop, cmd)
    elif cmd.kind == CMD_KEYS:
        _set_keys(loop, <KeyRing*>cmd.ptr)
    elif cmd.kind == CMD_BUDGET:
        topics_budget(&loop.topics, <Budget*>cmd.ptr, loop.now_ns)
        free(cmd.ptr)
    elif cmd.kind == CMD_DRAIN:
        _drain(loop, cmd)
    elif cmd.kind == CMD_PICK:
        pick_begin(loop, cmd.code, cmd.b, cmd.x)
    elif cmd.kind == CMD_LOOK:
        look_begin(loop, <LookFor*>cmd.ptr)
    elif cmd.kind == CMD_HANDED:
        flight_handed(loop, <Handed*>cmd.ptr)
    elif cmd.kind == CMD_TAKE:
        session_take(loop, cmd.conn, <TakeAsk*>cmd.ptr)
        free(cmd.ptr)
    elif cmd.kind == CMD_TICKETS:
        _set_tickets(loop, <TicketKeys*>cmd.ptr, cmd.code)
        sodium.memzero(cmd.ptr, sizeof(TicketKeys))
        free(cmd.ptr)
    elif cmd.kind == CMD_UNPARK:
        end_parked(loop, <int>cmd.code)
    elif cmd.kind == CMD_STAY:
        stay_begin(loop)
    elif cmd.kind == CMD_EASE:
        ease(loop, <int>cmd.code)
    elif cmd.kind == CMD_RESYNC:
        loop.resync.on = True
        loop.resync.sessions = cmd.a
        loop.resync.slot = 0
        loop.resync.topic = 0
    elif cmd.kind == CMD_STOP:
        qw_store32(&loop.running, 0)


cdef void commands_run(Loop* loop) noexcept nogil:
    cdef Cmd cmd
    cdef uint32_t n = 0
    cdef uint64_t t = qw_cycles()
    while not loop.topics.stalled and mail_pop(&loop.mail, &cmd):
        _run(loop, &cmd)
        n += 1
        if n % LOOK == 0 and qw_clock_ns(0) - loop.now_ns > BUDGET_NS:
            break
    if n:
        stat_add(&loop.stats, N_COMMANDS, n)
        stage_end(&loop.stats, S_MAILBOX, t, n)


cdef void command_drop(Cmd* cmd) noexcept nogil:
    if cmd.kind == CMD_PUBLISH or cmd.kind == CMD_SEND or cmd.kind == CMD_POLICY_ENTRY or cmd.kind == CMD_DICTIONARY or cmd.kind == CMD_DRAIN or cmd.kind == CMD_AWAY:
        buf_unref(<SharedBuf*>cmd.ptr)
        return
    if cmd.kind == CMD_HANDED:
        handed_drop(<Handed*>cmd.ptr)
        return
    if cmd.kind == CMD_LOGIN:
        buf_unref(<SharedBuf*>cmd.x)
    if cmd.kind == CMD_TICKETS:
        sodium.memzero(cmd.ptr, sizeof(TicketKeys))
    free(cmd.ptr)
