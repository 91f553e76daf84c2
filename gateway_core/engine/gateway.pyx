"""The Python face of the core: start, stop, commands in, events out, numbers."""

import os
import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from crypto.sodium cimport sodium
from frame.constants cimport FRAME_AUTH_OK, FRAME_EVENT, FRAME_GOAWAY, FRAME_POLICY, MAX_BODY
from frame.frames cimport reply_header_put
from frame.varint cimport uv_put
from gateway_core.engine.bridge cimport give, give_all, take_events
from gateway_core.engine.commands cimport NameBlob
from gateway_core.engine.loop cimport loop_free, loop_free_events, loop_init, loop_main
from gateway_core.engine.settings cimport key_ring_fill, settings_fill
from gateway_core.includes.cpu cimport qw_cycles, qw_hash
from gateway_core.includes.sys cimport (
    close,
    pthread_join,
    qw_clock_ns,
    qw_eventfd,
    qw_port_of,
    qw_thread_start,
)
from gateway_core.leaf.shared_buf cimport buf_frame, buf_live, buf_ref, buf_unref
from gateway_core.leaf.stats cimport L_SESSIONS, stages_dict, stats_dict
from gateway_core.leaf.token_bucket cimport ip_free, ip_init
from gateway_core.net.listener cimport listener_open
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
    CMD_REFUSE,
    CMD_SEND,
    CMD_STOP,
    HIGH,
    NORMAL,
    TOPIC_MAX,
    Budget,
    Cmd,
    Engine,
    KeyRing,
    Loop,
    Session,
    SharedBuf,
    layout_mark,
)

from gateway_core.errors import GatewayError, MailboxFull, NotRunning

LAYOUT = layout_mark()


cdef SharedBuf* _frame(int type, const uint8_t* head, size_t n, bytes body) except? NULL:
    if PyBytes_GET_SIZE(body) + <Py_ssize_t>n > MAX_BODY:
        raise ValueError(f"a frame body is at most {<int>MAX_BODY} bytes")
    return buf_frame(type, head, n, <const uint8_t*>PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), NULL, 0)


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

    def __cinit__(self, config, keys, bytes key_set=b""):
        cdef KeyRing ring
        self.config = config
        self.keys = list(keys)
        self.key_set = key_set
        self.wait_ms = config.mailbox_wait_ms
        key_ring_fill(self.keys, key_set, &ring)
        sodium.memzero(&ring, sizeof(ring))

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
        if self.engine.event_fd >= 0:
            close(self.engine.event_fd)
        ip_free(self.engine)
        free(self.engine.loops)
        free(self.engine)
        self.engine = NULL

    cdef void _halt(self) noexcept:
        cdef Cmd cmd
        cdef uint32_t i
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_STOP
        for i in range(self.threads):
            while not give(self.engine, <int>i, &cmd, 1000):
                pass
        with nogil:
            for i in range(self.threads):
                pthread_join(self.engine.loops[i].thread, NULL)
        for i in range(self.engine.n_loops):
            loop_free(&self.engine.loops[i])
        self.running = False

    cdef int _build(self) except -1:
        cdef Engine* e = <Engine*>calloc(1, sizeof(Engine))
        cdef KeyRing ring
        cdef uint32_t i
        cdef int failed = 0
        cdef bytes host = self.config.host.encode()
        if e == NULL:
            raise MemoryError
        self.engine = e
        e.event_fd = qw_eventfd()
        settings_fill(self.config, &e.set)
        key_ring_fill(self.keys, self.key_set, &ring)
        sodium.randombytes(<uint8_t*>&e.seed, 8)
        e.start_ns = qw_clock_ns(0)
        e.loops = <Loop*>calloc(self.config.loops, sizeof(Loop))
        if e.loops == NULL or e.event_fd < 0 or ip_init(e) < 0:
            raise MemoryError
        e.port = self.config.port
        for i in range(<uint32_t>self.config.loops):
            e.n_loops = i + 1
            if loop_init(&e.loops[i], e, i, &ring) < 0:
                failed = -1
                break
            failed = listener_open(&e.loops[i], PyBytes_AS_STRING(host), e.port)
            if failed < 0:
                break
            e.port = qw_port_of(e.loops[i].listen_fd)
        sodium.memzero(&ring, sizeof(ring))
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
        self.threads = 0
        self.running = True
        self.set_policy(0, self.config.ping_interval_s, b"")
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
            n += self.engine.loops[i].count[L_SESSIONS]
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
        return self.engine.event_fd

    def take_events(self, int max=1024):
        """Up to `max` events; more waiting keep fileno() readable."""
        if self.engine == NULL:
            raise NotRunning("not started")
        return take_events(self.engine, max, self.running)

    def stats(self):
        """Counters since start, live objects, states, closes; keys in leaf/stats.pyx."""
        if self.engine == NULL:
            raise NotRunning("not started")
        cdef dict out = stats_dict(self.engine.loops, <int>self.engine.n_loops)
        out["live"]["shared_bufs"] = buf_live()
        return out

    def stages(self):
        """{stage: {"ns", "count"}} summed over the loops; seal and write of sweeps count in `sweep` too."""
        cdef uint64_t ns
        if self.engine == NULL:
            raise NotRunning("not started")
        ns = qw_clock_ns(0) - self.engine.start_ns
        return stages_dict(
            self.engine.loops, <int>self.engine.n_loops, <double>(qw_cycles() - self.cycles0) / (ns if ns else 1)
        )

    # commands ------------------------------------------------------------------------------------------------

    cdef int _loop_of(self, uint64_t conn) except -1:
        if not self.running:
            raise NotRunning("not started")
        return <int>(conn >> 56)

    cdef int _give(self, int loop, Cmd* cmd) except -1:
        """1 when the loop took it. An id of a loop that never was names nothing: 0, like a dead connection."""
        if <uint32_t>loop >= self.engine.n_loops:
            return 0
        if not give(self.engine, loop, cmd, self.wait_ms):
            raise MailboxFull(f"loop {loop}")
        return 1

    cdef int _give_buf(self, uint64_t conn, SharedBuf* b) except -1:
        cdef Cmd cmd
        cdef int taken = 0
        if b == NULL:
            raise MemoryError
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_SEND
        cmd.conn = conn
        cmd.ptr = b
        try:
            taken = self._give(self._loop_of(conn), &cmd)
        finally:
            if not taken:
                buf_unref(b)
        return 0

    cdef int _give_names(self, int kind, int loop, uint64_t conn, bytes a, bytes b, bytes c, uint64_t before,
                         int code) except -1:
        cdef size_t n = len(a) + len(b) + len(c)
        cdef NameBlob* blob
        cdef Cmd cmd
        cdef char* p
        cdef int taken = 0
        if len(a) > 1024 or len(b) > 1024 or len(c) > 1024:
            raise ValueError("names and texts are at most 1024 bytes")
        blob = <NameBlob*>malloc(sizeof(NameBlob) + n)
        if blob == NULL:
            raise MemoryError
        blob.before = before
        blob.a_len = <uint16_t>len(a)
        blob.b_len = <uint16_t>len(b)
        blob.c_len = <uint16_t>len(c)
        p = <char*>blob + sizeof(NameBlob)
        memcpy(p, PyBytes_AS_STRING(a), blob.a_len)
        memcpy(p + blob.a_len, PyBytes_AS_STRING(b), blob.b_len)
        memcpy(p + blob.a_len + blob.b_len, PyBytes_AS_STRING(c), blob.c_len)
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = <uint8_t>kind
        cmd.conn = conn
        cmd.code = <uint32_t>code
        cmd.ptr = blob
        try:
            taken = self._give(loop, &cmd)
        finally:
            if not taken:
                free(blob)
        return 0

    def login(self, uint64_t conn, str user, str device, int platform, uint64_t session_id, bytes body):
        """Makes the session live: it joins u/<user> and AUTH_OK with `body` is written. CLOSED follows if it is gone."""
        cdef bytes u = user.encode(), d = device.encode()
        cdef Session* s
        cdef Cmd cmd
        cdef int taken = 0
        if not 1 <= len(u) <= 64 or not 1 <= len(d) <= 64:
            raise ValueError("user and device are 1..64 bytes")
        cdef SharedBuf* ok = _frame(FRAME_AUTH_OK, NULL, 0, body)
        s = <Session*>malloc(sizeof(Session) + len(u) + len(d))
        if s == NULL or ok == NULL:
            buf_unref(ok)
            free(s)
            raise MemoryError
        memset(s, 0, sizeof(Session))
        s.id = session_id
        s.user_len = <uint8_t>len(u)
        s.device_len = <uint8_t>len(d)
        s.platform = <uint8_t>platform
        memcpy(<char*>s + sizeof(Session), PyBytes_AS_STRING(u), len(u))
        memcpy(<char*>s + sizeof(Session) + len(u), PyBytes_AS_STRING(d), len(d))
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_LOGIN
        cmd.conn = conn
        cmd.ptr = s
        cmd.x = <uint64_t>ok
        try:
            taken = self._give(self._loop_of(conn), &cmd)
        finally:
            if not taken:
                buf_unref(ok)
                free(s)

    def refuse(self, uint64_t conn, int code, str text=""):
        """CLOSE frame, then close; before and after login."""
        self._give_names(CMD_REFUSE, self._loop_of(conn), conn, text.encode(), b"", b"", 0, code)

    def send(self, uint64_t conn, int type, bytes body):
        """One frame to one connection."""
        self._give_buf(conn, _frame(type, NULL, 0, body))

    cdef int _reply(self, uint64_t conn, int type, uint64_t request, uint64_t code, bytes payload) except -1:
        cdef uint8_t head[24]
        cdef size_t n = reply_header_put(head, request, code)
        return self._give_buf(conn, _frame(type, head, n, payload))

    def reply(self, uint64_t conn, int type, uint64_t request, uint64_t code, bytes payload):
        """SEND_ACK or RETURN."""
        self._reply(conn, type, request, code, payload)

    def reply_many(self, replies):
        """[(conn, type, request, code, payload)] in one call."""
        for conn, type, request, code, payload in replies:
            self._reply(conn, type, request, code, payload)

    cdef int _publish(self, str topic, int type, bytes body, int priority, uint64_t exclude) except -1:
        cdef bytes name = topic.encode()
        cdef size_t n = len(name)
        cdef const char* p = PyBytes_AS_STRING(name)
        cdef SharedBuf* b
        if not self.running:
            raise NotRunning("not started")
        if not 3 <= n <= TOPIC_MAX:
            raise ValueError(f"not a topic: {topic!r}")
        if len(body) > MAX_BODY:
            raise ValueError(f"a frame body is at most {<int>MAX_BODY} bytes")
        b = buf_frame(type, NULL, 0, <const uint8_t*>PyBytes_AS_STRING(body), len(body), p, n)
        if b == NULL:
            raise MemoryError
        if type == FRAME_EVENT:
            b.cls = HIGH if priority else NORMAL
        b.exclude = exclude
        b.hash = qw_hash(p + 2, n - 2, self.engine.seed) if name.startswith(b"u/") else qw_hash(p, n, self.engine.seed)
        if not give_all(self.engine, b, self.wait_ms):
            raise MailboxFull(topic)
        return 0

    def publish(self, str topic, int type, bytes body, int priority=0, exclude=0):
        """One frame to all members of a topic on all loops. Frames other than EVENT are never dropped."""
        self._publish(topic, type, body, priority, exclude or 0)

    def publish_many(self, messages):
        """[(topic, type, body, priority, exclude)] in one call, in this order."""
        for topic, type, body, priority, exclude in messages:
            self._publish(topic, type, body, priority, exclude or 0)

    def join(self, uint64_t conn, str topic):
        """Adds a live connection to a topic. u/ topics follow the login and cannot be joined."""
        cdef bytes name = topic.encode()
        if not 3 <= len(name) <= TOPIC_MAX or name.startswith(b"u/"):
            raise ValueError(f"not a topic to join: {topic!r}")
        self._give_names(CMD_JOIN, self._loop_of(conn), conn, name, b"", b"", 0, 0)

    def leave(self, uint64_t conn, str topic):
        """Takes a connection out of a topic."""
        self._give_names(CMD_LEAVE, self._loop_of(conn), conn, topic.encode(), b"", b"", 0, 0)

    def join_user(self, str user, str topic):
        """Adds all live sessions of a user, on every loop, to a topic. Doing it twice changes nothing."""
        cdef bytes name = topic.encode()
        if not 3 <= len(name) <= TOPIC_MAX or name.startswith(b"u/"):
            raise ValueError(f"not a topic to join: {topic!r}")
        self._for_user(CMD_JOIN_USER, user.encode(), name)

    def leave_user(self, str user, str topic):
        """Takes all live sessions of a user out of a topic."""
        self._for_user(CMD_LEAVE_USER, user.encode(), topic.encode())

    cdef int _for_user(self, int kind, bytes user, bytes topic) except -1:
        cdef uint32_t i
        self._loop_of(0)
        for i in range(self.engine.n_loops):
            self._give_names(kind, <int>i, 0, topic, user, b"", 0, 0)
        return 0

    def kick(self, str user, device, uint64_t before_session, int code, str text=""):
        """Closes this user's sessions (of that device, or all) whose session id is below before_session."""
        cdef uint32_t i
        cdef bytes d = device.encode() if device is not None else b""
        self._loop_of(0)
        for i in range(self.engine.n_loops):
            self._give_names(CMD_KICK, <int>i, 0, user.encode(), d, text.encode(), before_session, code)

    cdef int _all_loops(self, Cmd* cmd, SharedBuf* b) except -1:
        """A command with a (possibly absent) shared frame to every loop; takes over one reference."""
        cdef uint32_t i
        cdef bint failed = False
        for i in range(self.engine.n_loops):
            cmd.ptr = buf_ref(b) if b != NULL else NULL
            if not give(self.engine, <int>i, cmd, self.wait_ms):
                buf_unref(b)
                failed = True
        buf_unref(b)
        if failed:
            raise MailboxFull("some loop")
        return 0

    def set_policy(self, uint32_t rev, uint32_t ping_interval_s, bytes body):
        """PONG tells `rev`; a non-empty body goes out as POLICY with the next PONG (and after AUTH_OK)."""
        cdef Cmd cmd
        cdef SharedBuf* b = NULL
        self._loop_of(0)
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_POLICY
        cmd.x = rev
        cmd.code = ping_interval_s
        if body:
            b = _frame(FRAME_POLICY, NULL, 0, body)
        self._all_loops(&cmd, b)

    def set_keys(self, keys, bytes key_set):
        """Replaces the static keys (rotation with overlap: pass old and new) and the signed key set."""
        cdef Cmd cmd
        cdef KeyRing* ring
        cdef uint32_t i
        self._loop_of(0)
        for i in range(self.engine.n_loops):
            ring = <KeyRing*>malloc(sizeof(KeyRing))
            if ring == NULL:
                raise MemoryError
            memset(&cmd, 0, sizeof(cmd))
            cmd.kind = CMD_KEYS
            cmd.ptr = ring
            try:
                key_ring_fill(keys, key_set, ring)
                self._give(<int>i, &cmd)
            except BaseException:
                free(ring)
                raise
        self.keys = list(keys)
        self.key_set = key_set

    def set_topic_budget(self, str prefix, uint32_t normal, uint32_t high):
        """EVENTs per second and topic for topics that start with `prefix`; 0 = unlimited. The longest prefix wins."""
        cdef bytes name = prefix.encode()
        cdef Cmd cmd
        cdef Budget* budget
        cdef uint32_t i
        self._loop_of(0)
        if len(name) > 79:
            raise ValueError("prefix is at most 79 bytes")
        for i in range(self.engine.n_loops):
            budget = <Budget*>calloc(1, sizeof(Budget))
            if budget == NULL:
                raise MemoryError
            memcpy(budget.prefix, PyBytes_AS_STRING(name), len(name))
            budget.prefix_len = <uint32_t>len(name)
            budget.normal = normal
            budget.high = high
            memset(&cmd, 0, sizeof(cmd))
            cmd.kind = CMD_BUDGET
            cmd.ptr = budget
            try:
                self._give(<int>i, &cmd)
            except BaseException:
                free(budget)
                raise

    def drain(self, int code, int retry_after_ms, int jitter_ms, str text="", double spread_s=0.0):
        """Stops accepting and sends GOAWAY to every session, spread over spread_s seconds."""
        cdef uint8_t head[30]
        cdef size_t n = 0
        cdef bytes t = text.encode()
        cdef Cmd cmd
        self._loop_of(0)
        n += uv_put(head + n, code)
        n += uv_put(head + n, retry_after_ms)
        n += uv_put(head + n, jitter_ms)
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_DRAIN
        cmd.x = <uint64_t>(spread_s * 1e9)
        self.draining = True
        self._all_loops(&cmd, _frame(FRAME_GOAWAY, head, n, t))
