"""What the connections of a loop stand in, as Python objects: table, users, topics and their pending messages. No Loop."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cmodules cimport layout
from frame.names cimport id_valid, is_user_topic
from gateway_core.conn.announce cimport Announcer
from gateway_core.conn.pending cimport batch_start, pend, pending_served, topics_tell, topics_tell_wait, within_budget
from gateway_core.conn.states cimport STATES
from gateway_core.conn.table cimport (
    Conn,
    ConnTable,
    PreAuth,
    Session,
    conn_find,
    conn_id,
    conn_move,
    conn_new,
    conn_release,
    key_begins,
    key_is_old,
    preauth_enter,
    preauth_leave,
    session_free,
    session_of,
    session_settle,
    session_topics,
    slot_of,
    table_free,
    table_init,
)
from gateway_core.conn.topics cimport (
    Budget,
    Topic,
    TopicLimits,
    TopicTable,
    batch_free,
    topic_find,
    topic_join,
    topic_leave,
    topic_next,
    topics_budget,
    topics_free,
    topics_init,
    topics_leave_all,
)
from gateway_core.conn.user_filter cimport (
    UserFilter,
    filter_enter,
    filter_free,
    filter_init,
    filter_leave,
    filter_may_hold,
)
from gateway_core.conn.users cimport (
    UserIndex,
    user_add,
    user_find,
    user_remove,
    users_free,
    users_init,
)
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.leaf.class_budget cimport ClassRates
from gateway_core.leaf.events cimport EV_DROPPED, EV_TOPIC, EventCell, EventRing, event_pop, events_free, events_init, events_settle
from gateway_core.leaf.lists cimport NONE32
from gateway_core.leaf.shared_buf cimport SharedBuf, buf_data, buf_frame, buf_unref
from gateway_core.leaf.stats cimport Stats, stats_dict

import sys

from cmodules import same_build

LAYOUT = layout()
SEED = 42
NO_SLOT = NONE32
same_build(sys.modules[__name__])


def is_id(bytes text):
    return id_valid(<uint8_t*>text, len(text))


def is_user(bytes topic):
    return is_user_topic(<char*>topic, len(topic))


cdef class Crowd:
    """Connections with sessions, the users they belong to and the topics they are in."""

    cdef ConnTable table
    cdef UserIndex users
    cdef UserFilter filter
    cdef TopicTable topics
    cdef Announcer announcer
    cdef EventRing events
    cdef Stats stats
    cdef set logged_in  # slots whose connection has a Session

    def __cinit__(self, uint32_t cap=1024, loop=3, large=8, joined=16, pending=64, batch_messages=8, batch_bytes=16000):
        cdef TopicLimits limits
        limits.large = large
        limits.joined = joined
        limits.pending = pending
        limits.batch_messages = batch_messages
        limits.batch_bytes = batch_bytes
        self.logged_in = set()
        self.announcer.events = &self.events
        self.announcer.loop = loop
        self.announcer.on = True
        assert events_init(&self.events, 1024, 1 << 24, &self.stats) == 0
        assert table_init(&self.table, loop, cap, &self.stats) == 0
        assert users_init(&self.users, &self.table, &self.announcer, SEED) == 0
        assert filter_init(&self.filter, SEED) == 0
        assert topics_init(&self.topics, &limits, &self.table, &self.announcer, &self.stats, SEED) == 0

    def __dealloc__(self):
        for slot in range(self.table.high):
            self._let_go(&self.table.conns[slot])
        topics_free(&self.topics)
        users_free(&self.users)
        filter_free(&self.filter)
        table_free(&self.table)
        events_free(&self.events)

    # table

    def new(self):
        """A conn id, or None when full."""
        cdef Conn* c = conn_new(&self.table)
        return conn_id(&self.table, c) if c != NULL else None

    cdef Conn* _conn(self, uint64_t id) except NULL:
        cdef Conn* c = conn_find(&self.table, id)
        if c == NULL:
            raise KeyError(id)
        return c

    def known(self, uint64_t id):
        return conn_find(&self.table, id) != NULL

    def slot(self, uint64_t id):
        return slot_of(&self.table, self._conn(id))

    def state(self, uint64_t id):
        return self._conn(id).state

    def move(self, uint64_t id, int event):
        return conn_move(&self.table, self._conn(id), event)

    def scribble(self, uint64_t id):
        """Keys and counters that must not be seen by the next one."""
        cdef Conn* c = self._conn(id)
        c.tx.key[0] = c.rx.key[31] = 0xAA
        c.msgs_sent = 7
        c.flags = 0xFFFF

    def blank(self, uint64_t id):
        """Nothing but descriptor, generation, state and the reference of its address is set."""
        cdef Conn* c = self._conn(id)
        return not (
            any((<uint8_t*>&c.tx)[: sizeof(c.tx)]) or any((<uint8_t*>&c.rx)[: sizeof(c.rx)])
            or c.msgs_sent or c.flags or c.out != NULL or c.in_buf != NULL or c.held != NULL
        )

    cdef void _let_go(self, Conn* c):
        """A PreAuth, the session of one that `login` made, or nothing."""
        if slot_of(&self.table, c) in self.logged_in:
            self.logged_in.discard(slot_of(&self.table, c))
            session_free(&self.table, c)
        free(c.held)
        c.held = NULL

    def release(self, uint64_t id):
        cdef Conn* c = self._conn(id)
        self._let_go(c)
        conn_release(&self.table, c)

    def wait(self, uint64_t id):
        """It has not logged in."""
        cdef Conn* c = self._conn(id)
        c.held = calloc(1, sizeof(PreAuth))
        preauth_enter(&self.table, c)

    def wait_no_more(self, uint64_t id):
        cdef Conn* c = self._conn(id)
        preauth_leave(&self.table, c)
        free(c.held)
        c.held = NULL

    def before_login(self):
        """Conn ids, oldest first; asserts that the way back is the same."""
        cdef uint32_t slot = self.table.oldest, last = NONE32
        found = []
        while slot != NONE32:
            assert self.table.conns[slot].msgs_sent == last
            found.append(conn_id(&self.table, &self.table.conns[slot]))
            last, slot = slot, (<PreAuth*>self.table.conns[slot].held).newer
        assert self.table.newest == last
        return found

    def by_state(self):
        return [self.table.by_state[state] for state in range(STATES)]

    # users

    def login(self, bytes user, bytes device=b"d"):
        """A new connection with a session, in the index and the filter."""
        cdef Conn* c = conn_new(&self.table)
        cdef Session* s = <Session*>calloc(1, sizeof(Session) + len(user) + len(device))
        s.user_len = len(user)
        s.device_len = len(device)
        memcpy(<char*>s + sizeof(Session), <char*>user, len(user))
        memcpy(<char*>s + sizeof(Session) + len(user), <char*>device, len(device))
        c.held = session_settle(&self.table, s)
        free(s)
        s = session_of(c)
        self.logged_in.add(slot_of(&self.table, c))
        assert user_add(&self.users, c) == 0
        filter_enter(&self.filter, s)
        return conn_id(&self.table, c)

    def logout(self, uint64_t id):
        cdef Conn* c = self._conn(id)
        topics_leave_all(&self.topics, c)
        user_remove(&self.users, c)
        filter_leave(&self.filter, session_of(c))
        self.release(id)

    def devices(self, bytes user):
        """Conn ids of the user, the first of the chain first."""
        cdef uint64_t hash = qw_hash(<char*>user, len(user), SEED)
        cdef uint32_t slot = user_find(&self.users, hash, <char*>user, len(user))
        out = []
        while slot != NONE32:
            out.append(conn_id(&self.table, &self.table.conns[slot]))
            slot = session_of(&self.table.conns[slot]).next
        return out

    def may_hold(self, bytes user):
        return filter_may_hold(&self.filter, qw_hash(<char*>user, len(user), SEED))

    def key_begins(self, uint64_t id, uint64_t records, uint32_t now_s):
        key_begins(session_of(self._conn(id)), records, now_s)

    def key_is_old(self, uint64_t id, uint32_t now_s, uint32_t records=0):
        """After so many further records."""
        cdef Session* s = session_of(self._conn(id))
        s.rx_records += records
        return bool(key_is_old(s, now_s))

    def index_size(self):
        return self.users.cap, self.users.live

    def announced(self):
        """[(topic, up)] since the last call."""
        return [(name, bool(b)) for kind, name, _, _, _, b in self._events() if kind == EV_TOPIC]

    def dropped(self, uint64_t now_ns):
        """[(topic, normal, high, notices)] as told at that time or since the last call."""
        topics_tell(&self.topics, now_ns)
        return [event[1:5] for event in self._events() if event[0] == EV_DROPPED]

    def tells_in(self, uint64_t now_ns):
        return topics_tell_wait(&self.topics, now_ns)

    cdef list _events(self):
        cdef EventCell e
        cdef list out = []
        while True:
            events_settle(&self.events)
            if not event_pop(&self.events, &e):
                return out
            out.append((e.kind, PyBytes_FromStringAndSize(<char*>e.blob, e.size[0]), e.conn, e.request, e.code, e.b))
            free(e.blob)

    # topics

    cdef Topic* _topic(self, bytes name):
        return topic_find(&self.topics, qw_hash(<char*>name, len(name), SEED), <char*>name, len(name))

    def join(self, uint64_t id, bytes topic, own=None, uint64_t now_ns=1):
        cdef ClassRates rates
        if own is not None:
            rates.normal, rates.high = own
            rates.notices = 0
        return topic_join(
            &self.topics, self._conn(id), <char*>topic, len(topic), &rates if own is not None else NULL, now_ns
        )

    def leave(self, uint64_t id, bytes topic):
        topic_leave(&self.topics, self._conn(id), <char*>topic, len(topic))

    def members(self, bytes topic):
        """Their slots: in slot order when the topic is large. None: no such topic."""
        cdef Topic* t = self._topic(topic)
        cdef uint32_t slot
        if t == NULL:
            return None
        if t.pages == NULL:
            return [t.dense[i] for i in range(t.count)]
        out = []
        slot = topic_next(t, 0)
        while slot != NONE32:
            out.append(slot)
            slot = topic_next(t, slot + 1)
        assert len(out) == t.count
        return out

    def is_large(self, bytes topic):
        return self._topic(topic).pages != NULL

    def joined(self, uint64_t id):
        cdef Session* s = session_of(self._conn(id))
        cdef Topic* t
        out = []
        for i in range(s.joined):
            t = self.topics.by_id[session_topics(s)[i]]
            out.append(PyBytes_FromStringAndSize(t.name, t.name_len))
        return out

    def budget(self, bytes prefix, double normal, double high, double notices=0, uint64_t now_ns=1):
        self._budget(prefix, 0, 0, normal, high, notices, now_ns)

    def own_budget(self, bytes topic, own, uint64_t now_ns=1):
        normal, high = own or (0, 0)
        self._budget(topic, 1, own is None, normal, high, 0, now_ns)

    cdef _budget(self, bytes name, int one, int ends, double normal, double high, double notices, uint64_t now_ns):
        cdef Budget b
        memset(&b, 0, sizeof(b))
        memcpy(b.name, <char*>name, len(name))
        b.name_len = len(name)
        b.one = one
        b.ends = ends
        b.rates.normal = normal
        b.rates.high = high
        b.rates.notices = notices
        topics_budget(&self.topics, &b, now_ns)

    def may_publish(self, bytes topic, int cls, uint64_t now_ns):
        return self.may_all_publish([topic], cls, now_ns)[0]

    def may_all_publish(self, topics, int cls, uint64_t now_ns):
        """One event to topics in a row, as to those of several loops."""
        cdef SharedBuf* b = buf_frame(7, NULL, 0, NULL, 0, NULL, 0)
        b.cls = cls
        out = [bool(within_budget(&self.topics, self._topic(topic), b, now_ns)) for topic in topics]
        buf_unref(b)
        return out

    # pending messages of a large topic

    def pend(self, bytes topic, bytes body, int cls=2):
        cdef SharedBuf* b = buf_frame(7, NULL, 0, <uint8_t*>body, len(body), NULL, 0)
        b.cls = cls
        pend(&self.topics, self._topic(topic), b)
        buf_unref(b)

    def waiting(self, bytes topic):
        cdef Topic* t = self._topic(topic)
        cdef SharedBuf* b
        out = []
        for i in range(t.span):
            b = t.ring[(t.head + i) & (t.cap - 1)]
            if b != NULL:
                out.append(PyBytes_FromStringAndSize(<char*>buf_data(b) + b.body_at, b.size - b.body_at))
        return out

    def batch(self, bytes topic):
        """The frames of the batch that the next stripe gets, the ends of its records, and whether more waits; None."""
        cdef Topic* t = self._topic(topic)
        if not batch_start(&self.topics, t):
            return None
        plain = PyBytes_FromStringAndSize(<char*>buf_data(t.sweep.plain), t.sweep.plain.size)
        return plain, [t.sweep.plain_cuts.end[i] for i in range(t.sweep.plain_cuts.n)], bool(t.sweep.full)

    def served(self, bytes topic):
        """The stripe has got its batch."""
        cdef Topic* t = self._topic(topic)
        t.since[t.stripe] = t.sweep.until
        batch_free(&self.topics, t)
        pending_served(t)

    def stalled(self):
        return bool(self.topics.stalled)

    def counts(self):
        cdef Stats* part = &self.stats
        return stats_dict(&part, 1)
