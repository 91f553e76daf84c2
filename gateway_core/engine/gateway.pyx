"""The Python face of the core: start, stop, commands in, events out, numbers."""

import os
import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.sodium cimport sodium
from frame.constants cimport (
    FRAME_DICTIONARY,
    FRAME_GOAWAY,
    FRAME_MSG,
    FRAME_POLICY,
    MAX_BODY,
    NAME_MAX,
    RESUME_ELSEWHERE,
    RESUME_EPOCH,
)
from frame.names cimport is_user_topic
from frame.varint cimport UV_MAX, uv_put
from gateway_core.conn.announce cimport TOPIC_MAX
from gateway_core.conn.resume cimport TakeAsk
from gateway_core.conn.session cimport login
from gateway_core.conn.states cimport FREE, STATES
from gateway_core.conn.table cimport loop_of_id
from gateway_core.conn.tickets cimport wall_s
from gateway_core.conn.topics cimport Budget
from gateway_core.engine.bridge cimport give, take_events
from gateway_core.engine.config cimport config_fill, key_ring_fill
from gateway_core.engine.loop cimport loop_free, loop_free_events, loop_init, loop_main
from gateway_core.engine.submit cimport (
    Lasting,
    frame_of,
    give_budget,
    give_cmd,
    give_everywhere,
    give_frame,
    give_keys,
    give_login,
    give_names,
    give_publish,
    give_publishes,
    give_replies,
    give_reply,
    give_resync,
    give_rows,
    give_take,
    give_tickets,
)
from gateway_core.includes.atomics cimport qw_load32
from gateway_core.includes.cpu cimport qw_cycles, qw_hash
from gateway_core.includes.sys cimport (
    IP_BYTES,
    QW_LISTEN_MPTCP,
    QW_LISTEN_THIN,
    close,
    pthread_join,
    qw_clock_ns,
    qw_eventfd,
    qw_nap,
    qw_port_of,
    qw_thread_start,
)
from gateway_core.leaf.address_table cimport addresses_free, addresses_init
from gateway_core.leaf.admission cimport KNOWN, NEWCOMER, admission_door, admission_rate
from gateway_core.leaf.class_budget cimport ClassRates
from gateway_core.leaf.events cimport events_fill
from gateway_core.leaf.keys cimport KeyRing, key_ring_wipe
from gateway_core.leaf.mailbox cimport (
    CMD_AWAY,
    CMD_DENY,
    CMD_DRAIN,
    CMD_EASE,
    CMD_JOIN,
    CMD_JOIN_USER,
    CMD_KICK,
    CMD_LEAVE,
    CMD_LEAVE_USER,
    CMD_LOOK,
    CMD_PICK,
    CMD_POLICY_CHOOSE,
    CMD_POLICY_ENTRY,
    CMD_DICTIONARY,
    CMD_REFUSE,
    CMD_STAY,
    CMD_STOP,
    CMD_UNPARK,
    Cmd,
    mail_fill,
)
from gateway_core.leaf.policies cimport POLICY_COUNTS, POLICY_ENTRIES, POLICY_ROWS, WHOLE_SHARE
from gateway_core.leaf.shared_buf cimport SharedBuf, buf_live, buf_unref
from gateway_core.leaf.stats cimport L_SESSIONS, StageTimes, Stats, stages_dict, stats_dict
from gateway_core.net.listener cimport listener_open
from gateway_core.types cimport Engine, LookFor, Loop, MAX_LOOPS

from crypto.zstd import dictionary_id
from gateway_core.conn import states
from gateway_core.errors import GatewayError, NotRunning

LAYOUT = layout()
ANY_SESSION = (1 << 64) - 1


def arm_of(str device, uint64_t seed):
    """Where a device stands among the 10,000 parts of a canary: always the same, on every node."""
    cdef bytes name = device.encode()
    return qw_hash(PyBytes_AS_STRING(name), len(name), seed) % WHOLE_SHARE


cdef bytes _joinable(str topic):
    cdef bytes name = topic.encode()
    if not 3 <= len(name) <= TOPIC_MAX or is_user_topic(PyBytes_AS_STRING(name), len(name)):
        raise ValueError(f"not a topic to join: {topic!r}")
    return name


cdef class Gateway:
    """One gateway: N loop threads on one port. Commands are thread-safe and never await; see gateway_core/__init__."""

    cdef Engine* engine
    cdef object config
    cdef object keys
    cdef bytes key_set
    cdef bint running
    cdef bint draining
    cdef int wait_ms
    cdef uint32_t threads  # started
    cdef uint64_t cycles0
    cdef StageTimes stage_times

    def __cinit__(self, config, keys, bytes key_set=b""):
        cdef KeyRing ring
        self.config = config
        self.keys = list(keys)
        self.key_set = key_set
        self.wait_ms = config.mailbox_wait_ms
        key_ring_fill(self.keys, key_set, &ring)
        key_ring_wipe(&ring)

    def __dealloc__(self):
        if self.running:
            self._halt()
        self._forget()

    cdef void _forget(self) noexcept:
        cdef uint32_t i
        if self.engine == NULL:
            return
        for i in range(self.engine.n_loops):
            loop_free_events(&self.engine.loops[i])
        if self.engine.bell.fd >= 0:
            close(self.engine.bell.fd)
        addresses_free(&self.engine.addresses)
        free(self.engine.loops)
        free(self.engine)
        self.engine = NULL

    cdef void _halt(self) noexcept:
        cdef Cmd cmd
        cdef uint32_t i
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_STOP
        self.running = False  # no command begins from here on
        for i in range(self.threads):
            while not give(self.engine, <int>i, &cmd, 1000):
                pass
        with nogil:
            for i in range(self.threads):
                pthread_join(self.engine.loops[i].thread, NULL)
            while qw_load32(&self.engine.givers):  # commands of other threads that still wait for room
                qw_nap(-1, 1)
        for i in range(self.engine.n_loops):
            loop_free(&self.engine.loops[i])

    cdef int _build(self) except -1:
        cdef Engine* e = <Engine*>calloc(1, sizeof(Engine))
        cdef KeyRing ring
        cdef uint32_t i
        cdef int failed = 0
        cdef int flags = 0
        cdef bytes host = self.config.host.encode()
        if e == NULL:
            raise MemoryError
        self.engine = e
        e.bell.fd = qw_eventfd()
        config_fill(self.config, &e.config)
        key_ring_fill(self.keys, self.key_set, &ring)
        sodium.randombytes(<uint8_t*>&e.seed, sizeof(e.seed))
        sodium.randombytes(<uint8_t*>&e.epoch, sizeof(e.epoch))
        e.start_ns = qw_clock_ns(0)
        e.start_wall_s = wall_s()
        e.loops = <Loop*>calloc(self.config.loops, sizeof(Loop))
        if e.loops == NULL or e.bell.fd < 0 or addresses_init(&e.addresses, &e.config.address, e.seed) < 0:
            raise MemoryError
        e.port = self.config.port
        if self.config.thin_stream:
            flags |= QW_LISTEN_THIN
        if self.config.mptcp:
            flags |= QW_LISTEN_MPTCP
        for i in range(<uint32_t>self.config.loops):
            e.n_loops = i + 1
            if loop_init(&e.loops[i], e, i, &ring) < 0:
                failed = -1
                break
            failed = listener_open(
                &e.loops[i].listener, PyBytes_AS_STRING(host), e.port, e.config.backlog, e.config.unsent_bytes,
                1000 * <int>self.config.user_timeout_s, flags,
            )
            if failed < 0:
                break
            e.port = qw_port_of(e.loops[i].listener.fd)
        key_ring_wipe(&ring)
        if failed < 0:
            for i in range(e.n_loops):
                loop_free(&e.loops[i])
            raise OSError(-failed, os.strerror(-failed), f"{self.config.host}:{self.config.port}")
        return 0

    def start(self):
        """Binds and starts the loops. OSError when the address is taken, GatewayError when running."""
        cdef uint32_t i
        cdef bytes name
        if self.running:
            raise GatewayError("already running")
        self._forget()
        try:
            self._build()
        except BaseException:
            self._forget()
            raise
        self.draining = False
        self.cycles0 = qw_cycles()
        memset(&self.stage_times, 0, sizeof(StageTimes))
        self.threads = 0
        self.running = True
        self.set_policy(0, 0, self.config.ping_interval_s, b"")
        for i in range(self.engine.n_loops):
            name = b"qw-loop-%d" % i
            if qw_thread_start(&self.engine.loops[i].thread, loop_main, &self.engine.loops[i], name):
                self._halt()
                raise OSError("cannot start a thread")
            self.threads = i + 1

    def stop(self, double timeout_s=0.0):
        """Ends all connections (those draining get timeout_s to leave by themselves) and joins the threads.

        CLOSED events of the last sessions can be taken afterwards. Stopping twice does nothing.
        """
        cdef double until = time.monotonic() + timeout_s
        if not self.running:
            return
        while self.draining and time.monotonic() < until and self._sessions():
            time.sleep(0.01)
        self._halt()

    cdef uint64_t _sessions(self):
        cdef uint32_t i
        cdef uint64_t n = 0
        for i in range(self.engine.n_loops):
            n += self.engine.loops[i].stats.count[L_SESSIONS]
        return n

    @property
    def port(self):
        """The port bound."""
        if self.engine == NULL:
            raise NotRunning("not started")
        return self.engine.port

    def fileno(self):
        """An eventfd, readable while events wait."""
        if self.engine == NULL:
            raise NotRunning("not started")
        return self.engine.bell.fd

    def take_events(self, int max=1024):
        """Up to `max` events; more waiting keep fileno() readable."""
        if self.engine == NULL:
            raise NotRunning("not started")
        return take_events(self.engine, max, self.running)

    def stats(self):
        """Counters since start, live objects, states, closes; keys in leaf/stats.pyx."""
        if self.engine == NULL:
            raise NotRunning("not started")
        cdef Stats* parts[MAX_LOOPS]
        cdef dict out = stats_dict(parts, self._stats(parts))
        out["live"]["shared_bufs"] = buf_live()
        out["states"] = {states.STATE_NAMES[i]: self._in_state(i) for i in range(FREE + 1, STATES)}
        out["loops_io_uring"] = self._with_ring()  # the others send()
        out["eased_events"] = self.engine.eased_events
        self._fill(out)
        return out

    cdef int _stats(self, Stats** parts) noexcept:
        cdef uint32_t i
        for i in range(self.engine.n_loops):
            parts[i] = &self.engine.loops[i].stats
        return <int>self.engine.n_loops

    cdef uint64_t _in_state(self, int state) noexcept:
        cdef uint32_t i
        cdef uint64_t n = 0
        for i in range(self.engine.n_loops):
            n += self.engine.loops[i].table.by_state[state]
        return n

    cdef int _fill(self, dict out) except -1:
        """How full the fullest of the rings are, as a share: commands into a loop, events out of one."""
        cdef double mail = 0.0, events = 0.0
        cdef uint32_t i
        cdef Loop* loop
        for i in range(self.engine.n_loops if self.running else 0):
            loop = &self.engine.loops[i]
            mail = max(mail, mail_fill(&loop.mail))
            events = max(events, events_fill(&loop.events))
        out["max_mailbox_fill"] = mail
        out["max_events_fill"] = events
        return 0

    cdef int _with_ring(self) noexcept:
        cdef uint32_t i
        cdef int n = 0
        for i in range(self.engine.n_loops):
            n += self.engine.loops[i].sender.ring != NULL
        return n

    def stages(self):
        """{stage: {"ns", "count"}} summed over the loops; seal and write of sweeps count in `sweep` too."""
        cdef Stats* parts[MAX_LOOPS]
        cdef uint64_t ns
        if self.engine == NULL:
            raise NotRunning("not started")
        ns = qw_clock_ns(0) - self.engine.start_ns
        return stages_dict(
            parts,
            self._stats(parts),
            <double>(qw_cycles() - self.cycles0) / (ns if ns else 1),
            &self.stage_times,
        )

    # commands; each raises NotRunning, and MailboxFull after mailbox_wait_ms ----------------------------------

    cdef Engine* _running(self) except NULL:
        if not self.running:
            raise NotRunning("not started")
        return self.engine

    def login(self, uint64_t conn, str user, str device, int platform, uint64_t session_id, bytes body,
              uint16_t frames=0xFFFF, uint32_t until=0, uint32_t rev=0):
        """Makes the session live: it joins u/<user>, AUTH_OK with `body` is written. CLOSED follows if it is gone.

        It may send so many `frames` at once, inbound_burst at most. `until`, its token's end in seconds since 1970: it gets
        tickets that carry `rev`, and waits for its client when its connection is lost. 0: neither.
        """
        cdef Lasting more
        memset(&more, 0, sizeof(more))
        more.until_s = until
        more.rev = rev
        give_login(self._running(), conn, user.encode(), device.encode(), platform, session_id, body, frames, &more,
                   self.wait_ms)

    def resume_with(self, uint64_t conn, str user, str device, int platform, uint64_t session_id, uint32_t seen, bodies,
                    uint8_t flags=0, uint16_t frames=0xFFFF, uint32_t until=0, uint32_t rev=0):
        """Answer to EV_ELSEWHERE: a session like by `login`, told as one that goes on behind `seen`: RESUME_OK with these
        `flags` (ResumeFlag), then a MSG of each of the `bodies`."""
        cdef uint8_t ok[2 * UV_MAX + 1]
        cdef Lasting more
        cdef size_t n = <size_t>uv_put(ok, <uint64_t>seen + 1)
        n += <size_t>uv_put(ok + n, <uint64_t>seen + <uint64_t>len(bodies))
        ok[n] = flags
        more.until_s = until
        more.rev = rev
        more.seen = seen
        more.resumed = True
        give_login(self._running(), conn, user.encode(), device.encode(), platform, session_id, (<char*>ok)[:n + 1], frames,
                   &more, self.wait_ms)
        for body in bodies:
            give_frame(self.engine, conn, frame_of(FRAME_MSG, NULL, 0, body), self.wait_ms)

    def resume_fail(self, uint64_t conn, int reason, str text=""):
        """Answer to EV_ELSEWHERE: RESUME_FAIL with a ResumeReason. The client logs in then, by its ticket unless REVOKED."""
        if not RESUME_EPOCH <= reason <= RESUME_ELSEWHERE:
            raise ValueError(f"not a reason: {reason}")
        self._to_conn(CMD_DENY, conn, text.encode(), reason)

    def take_session(self, uint64_t conn, uint64_t session_id, uint64_t epoch, uint64_t seen, uint64_t token):
        """For another node where the client of this session is now: EV_TAKEN with `token` follows, and if the session can
        be served from `seen` on, its end here (4003)."""
        cdef TakeAsk ask
        ask.session = session_id
        ask.epoch = epoch
        ask.seen = seen
        ask.token = token
        if loop_of_id(conn) >= self._running().n_loops:
            conn = 0  # of a gateway with more loops: nobody's, but somebody has to say so
        give_take(self.engine, conn, &ask, self.wait_ms)

    def end_parked(self, int code):
        """Ends all sessions that wait for their client; CLOSED with `code` follows for each."""
        self._running()
        self._everywhere(CMD_UNPARK, 0, <uint32_t>code, NULL)

    @property
    def epoch(self):
        """Of this start, as it stands in tickets."""
        if self.engine == NULL:
            raise NotRunning("not started")
        return self.engine.epoch

    def set_ticket_keys(self, keys, uint16_t node):
        """[(key id, 32 bytes)], at most 4: the first seals tickets, all open them; `node`: the number of this node in them.
        None: no tickets from now on, and nobody's session waits."""
        give_tickets(self._running(), keys, node, self.wait_ms)

    def refuse(self, uint64_t conn, int code, str text=""):
        """CLOSE frame, then close; before and after login."""
        self._to_conn(CMD_REFUSE, conn, text.encode(), code)

    cdef int _to_conn(self, int kind, uint64_t conn, bytes name, int code) except -1:
        return give_names(
            self._running(), kind, <int>loop_of_id(conn), conn, name, b"", b"", 0, code, self.wait_ms
        )

    def send(self, uint64_t conn, int type, bytes body):
        """One frame to one connection."""
        give_frame(self._running(), conn, frame_of(type, NULL, 0, body), self.wait_ms)

    def reply(self, uint64_t conn, int type, uint64_t request, uint64_t code, bytes payload):
        """SEND_ACK or RETURN."""
        give_reply(self._running(), conn, type, request, code, payload, self.wait_ms)

    def reply_many(self, replies):
        """[(conn, type, request, code, payload)] in one call. -> how many were given: fewer when a mailbox stayed full."""
        return give_replies(self._running(), replies, self.wait_ms)

    def publish(self, str topic, int type, bytes body, int priority=0, exclude=0, loops=None):
        """One frame to all members of a topic on all loops. Frames other than EVENT are never dropped.
        `priority` of an EVENT: 1 high, 0 normal, -1 what somebody who manages decided, -2 other notices. -3, of a MSG too:
        it takes back what was said before, in the conversation of the MSG: what of that is not acknowledged is not sent
        again when a session is taken up, which says that more came than is kept.

        MailboxFull names the loops that did not take it; `loops` gives it to those alone.
        """
        give_publish(self._running(), topic, type, body, priority, exclude or 0, loops, self.wait_ms)

    def publish_many(self, messages):
        """[(topic, type, body, priority, exclude)] in one call, in this order. -> (how many were given, missing).

        Fewer when a mailbox stayed full: `missing` are the loops that did not take the next one, as bits.
        """
        return give_publishes(self._running(), messages, self.wait_ms)

    def join(self, uint64_t conn, str topic, budget=None):
        """Adds a live connection to a topic. u/ topics follow the login and cannot be joined. `budget` as in set_budget."""
        cdef ClassRates own
        cdef bytes rates = b""
        if budget is not None:
            memset(&own, 0, sizeof(own))
            own.normal, own.high = budget
            rates = PyBytes_FromStringAndSize(<char*>&own, sizeof(own))
        give_names(
            self._running(), CMD_JOIN, <int>loop_of_id(conn), conn, _joinable(topic), rates, b"", 0, 0, self.wait_ms
        )

    def leave(self, uint64_t conn, str topic):
        """Takes a connection out of a topic, and of its tags."""
        self._to_conn(CMD_LEAVE, conn, topic.encode(), 0)

    cdef int _to_user(self, int kind, bytes a, bytes b, bytes c, uint64_t before, int code) except -1:
        cdef uint32_t i
        cdef Engine* e = self._running()
        for i in range(e.n_loops):
            give_names(e, kind, <int>i, 0, a, b, c, before, code, self.wait_ms)
        return 0

    def join_user(self, str user, str topic):
        """Adds all live sessions of a user, on every loop, to a topic. Doing it twice changes nothing."""
        self._to_user(CMD_JOIN_USER, _joinable(topic), user.encode(), b"", 0, 0)

    def leave_user(self, str user, str topic):
        """Takes all live sessions of a user out of a topic, and of its tags."""
        self._to_user(CMD_LEAVE_USER, topic.encode(), user.encode(), b"", 0, 0)

    def kick(self, str user, device, uint64_t before_session, int code, str text=""):
        """Closes this user's sessions (of that device, or all) whose session id is below before_session."""
        self._to_user(
            CMD_KICK, user.encode(), device.encode() if device is not None else b"", text.encode(), before_session, code
        )

    cdef int _everywhere(self, int kind, uint64_t x, uint32_t code, SharedBuf* b) except -1:
        cdef Cmd cmd
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = <uint8_t>kind
        cmd.x = x
        cmd.code = code
        return give_everywhere(self.engine, &cmd, b, self.wait_ms)

    def set_policy(self, uint32_t entry, uint32_t rev, uint32_t ping_interval_s, bytes body):
        """One revision of a policy: PONG tells `rev`, a non-empty body goes out as POLICY before it to who has not heard
        of this entry. Entry 0 is everybody's who has no row."""
        cdef Cmd cmd
        self._running()
        if entry >= POLICY_ENTRIES:
            raise ValueError(f"no entry of policies: {entry}")
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_POLICY_ENTRY
        cmd.b = <uint16_t>entry
        cmd.x = rev
        cmd.code = ping_interval_s
        give_everywhere(self.engine, &cmd, frame_of(FRAME_POLICY, NULL, 0, body) if body else NULL, self.wait_ms)

    def set_policy_rows(self, uint32_t first, rows):
        """[(entry, canary entry, its share of 10,000, seed)] from row `first` on: who has the row goes by `entry`, or,
        where arm_of(device, seed) is below the share, by the other."""
        give_rows(self._running(), first, rows, self.wait_ms)

    def choose_policy(self, uint64_t conn, uint32_t row, uint32_t rev=0):
        """The connection goes by this row from now on, and hears of its policy at once unless it has revision `rev`."""
        cdef Cmd cmd
        if row >= POLICY_ROWS:
            raise ValueError(f"no row of policies: {row}")
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_POLICY_CHOOSE
        cmd.conn = conn
        cmd.b = <uint16_t>row
        cmd.code = rev
        give_cmd(self._running(), <int>loop_of_id(conn), &cmd, self.wait_ms)

    def policy_counts(self, uint32_t entry):
        """(sessions now, told since it began, pings, silent, resets, vanished, sum of round trips in us, their number, bytes
        of live connections while a row has a canary, sessions now without a connection)."""
        cdef uint64_t total[POLICY_COUNTS]
        cdef uint32_t i, j
        if entry >= POLICY_ENTRIES:
            raise ValueError(f"no entry of policies: {entry}")
        memset(total, 0, sizeof(total))
        for i in range(self.engine.n_loops if self.running else 0):
            for j in range(POLICY_COUNTS):
                total[j] += self.engine.loops[i].policies.entries[entry].count[j]
        return tuple([total[j] for j in range(POLICY_COUNTS)])

    def policy_row_sessions(self, uint32_t first, uint32_t n):
        """Sessions now of each of these rows."""
        cdef uint32_t i, j
        cdef uint64_t total
        cdef list out = []
        if first + n > POLICY_ROWS:
            raise ValueError(f"no rows of policies: {first} to {first + n}")
        for j in range(first, first + n):
            total = 0
            for i in range(self.engine.n_loops if self.running else 0):
                total += self.engine.loops[i].policies.rows[j].sessions
            out.append(total)
        return out

    def set_dictionary(self, bytes dictionary not None):
        """Bodies to clients that hold this trained zstd dictionary are compressed by it from now on; b"": by none. The
        last eight are read, and sent to who asks for them. CompressionFailed: it is none; ValueError: too large."""
        cdef uint8_t head[UV_MAX]
        cdef size_t n = 0
        self._running()
        if dictionary:
            n = <size_t>uv_put(head, <uint64_t>dictionary_id(dictionary))
            if n + len(dictionary) > MAX_BODY:
                raise ValueError(f"a dictionary has at most {MAX_BODY - n} bytes")
        self._everywhere(CMD_DICTIONARY, len(dictionary), 0, frame_of(FRAME_DICTIONARY, head, n, dictionary) if dictionary else NULL)

    def set_keys(self, keys, bytes key_set):
        """Replaces the static keys (rotation with overlap: pass old and new) and the signed key set."""
        give_keys(self._running(), keys, key_set, self.wait_ms)
        self.keys = list(keys)
        self.key_set = key_set

    def set_topic_budget(self, str prefix, double normal, double high, double notices=0):
        """EVENTs per second and topic for topics that start with `prefix`; 0 = unlimited. The longest prefix wins.

        `notices` holds for decisions and for other notices, each. The topic `name#tag` has its part in that of `name`.
        """
        cdef Budget b
        memset(&b, 0, sizeof(b))
        b.rates.normal = normal
        b.rates.high = high
        b.rates.notices = notices
        give_budget(self._running(), prefix.encode(), &b, self.wait_ms)

    def set_budget(self, str topic, budget=None):
        """One topic's own (normal, high) EVENTs per second while it has members; None: its prefix's. Give it to `join`
        as well: a topic begins with its first member."""
        cdef Budget b
        memset(&b, 0, sizeof(b))
        b.one = 1
        b.ends = budget is None
        if budget is not None:
            b.rates.normal, b.rates.high = budget
        give_budget(self._running(), topic.encode(), &b, self.wait_ms)

    def tell(self, int loop, bint sessions):
        """This loop emits EV_TOPIC(name, loop, 2) for all its users and topics, some of them twice, with `sessions`
        EV_SESSION for each session and what chatrooms it is in too, then EV_TOPIC("", loop, 0)."""
        give_resync(self._running(), loop, sessions, self.wait_ms)

    def admit(self, double new_per_s, double known_per_s, double burst_s, int door, uint32_t least_ms, uint32_t most_ms):
        """How many may come in a second of newcomers, and of those who say that they were here before; 0: any number.
        `burst_s` seconds' worth may come at once. `door`: 0 open, 1 to the known only, 2 shut. Who is refused is told
        to come again in least_ms to most_ms. From now on, at once, on all loops together.
        """
        cdef Engine* e = self._running()
        cdef uint64_t now = qw_clock_ns(0)
        admission_rate(&e.admission, NEWCOMER, new_per_s, burst_s, now)
        admission_rate(&e.admission, KNOWN, known_per_s, burst_s, now)
        admission_door(&e.admission, door, least_ms, most_ms)

    def pick(self, int loop, uint32_t most, uint16_t idle_s=0, uint64_t before=ANY_SESSION):
        """So many sessions of this loop that shall leave, each once, as EV_PICKED; those only that have read nothing for
        `idle_s` and whose ids are lower than `before`. One without a user when there are no more. A second call stands in
        for the first."""
        cdef Cmd cmd
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_PICK
        cmd.code = most
        cmd.b = idle_s
        cmd.x = before
        give_cmd(self._running(), loop, &cmd, self.wait_ms)

    def look(
        self, int loop, uint64_t token, uint32_t at, uint32_t slots, uint32_t most, bytes user=b"", bytes device=b"",
        bytes network=b"", int bits=0, bytes topic=b"",
    ):
        """Connections of this loop from slot `at` on, as EV_LOOKED with this token: at most so many, of at most so many
        slots looked at; of one user, one device, one network (16 bytes, so many bits of them), one topic. The last one has
        no user, the topic's members at this loop as details (u32), and the slot to go on at, 0: there are no more. A
        second call stands in for the first."""
        cdef Engine* e = self._running()
        cdef size_t n = PyBytes_GET_SIZE(user), m = PyBytes_GET_SIZE(device), k = PyBytes_GET_SIZE(topic)
        cdef LookFor* f
        cdef Cmd cmd
        cdef int taken = 0
        if n > NAME_MAX or m > NAME_MAX or k > TOPIC_MAX:
            raise ValueError("a name or topic that nobody has")
        if not 0 <= bits <= 128 or PyBytes_GET_SIZE(network) != (IP_BYTES if bits else 0):
            raise ValueError("a network that nobody has")
        f = <LookFor*>calloc(1, sizeof(LookFor) + n + m + k)
        if f == NULL:
            raise MemoryError
        f.token = token
        f.at = at
        f.slots = slots
        f.most = most
        f.bits = <uint8_t>bits
        f.user_len = <uint8_t>n
        f.device_len = <uint8_t>m
        f.topic_len = <uint8_t>k
        memcpy(f.network, PyBytes_AS_STRING(network), PyBytes_GET_SIZE(network))
        memcpy(<char*>f + sizeof(LookFor), PyBytes_AS_STRING(user), n)
        memcpy(<char*>f + sizeof(LookFor) + n, PyBytes_AS_STRING(device), m)
        memcpy(<char*>f + sizeof(LookFor) + n + m, PyBytes_AS_STRING(topic), k)
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_LOOK
        cmd.ptr = f
        try:
            taken = give_cmd(e, loop, &cmd, self.wait_ms)
        finally:
            if not taken:
                free(f)

    def send_away(self, uint64_t conn, bytes goaway, uint32_t after_s, int code):
        """A GOAWAY with this body; who is still there after_s seconds later (0: for ever) is closed with `code`."""
        cdef Cmd cmd
        cdef Engine* e = self._running()
        cdef SharedBuf* b = frame_of(FRAME_GOAWAY, NULL, 0, goaway)
        cdef int taken = 0
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_AWAY
        cmd.conn = conn
        cmd.ptr = b
        cmd.x = after_s
        cmd.code = <uint32_t>code
        try:
            taken = give_cmd(e, <int>loop_of_id(conn), &cmd, self.wait_ms)
        finally:
            if not taken:
                buf_unref(b)

    def stay(self):
        """Nobody is picked any more, nobody is closed for not having left, and all may be picked again."""
        self._running()
        self._everywhere(CMD_STAY, 0, 0, NULL)

    def ease(self, uint32_t what):
        """What is left undone while there is too much to do: EASE_* bits (types.pxd: 1 nobody leaves for their age, 2 heavy
        senders are paused, 4 presence and other notices are not published). 0: nothing."""
        cdef Engine* e = self._running()
        e.easing = what
        self._everywhere(CMD_EASE, 0, what, NULL)

    def stop_accepting(self):
        """The listener closes; those who are here hear nothing of it."""
        self._running()
        self._everywhere(CMD_DRAIN, 0, 0, NULL)

    def drain(self, int code, int retry_after_ms, int jitter_ms, str text="", double spread_s=0.0):
        """Stops accepting and sends GOAWAY to every session, spread over spread_s seconds."""
        cdef uint8_t head[3 * UV_MAX + 1]
        cdef size_t n = 0
        self._running()
        n += uv_put(head + n, code)
        n += uv_put(head + n, retry_after_ms)
        n += uv_put(head + n, jitter_ms)
        head[n] = 0  # addresses
        n += 1
        self.draining = True
        self._everywhere(CMD_DRAIN, <uint64_t>(spread_s * 1e9), 0, frame_of(FRAME_GOAWAY, head, n, text.encode()))
