"""The loop of one generator process, without the GIL: see the class `Swarm` and types.pxd.

One turn: clock; messages that are due; connections and joins up to their windows; pings that are due, four times a
second; one epoll_wait; every readable client once. With `nap_us` the loop sleeps between turns instead of waking for
every packet: on a machine that server and generator share, a wake-up costs the server more than the packet itself.
What a nap adds to latency is measured, not subtracted.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import socket as net
import struct
from itertools import accumulate

from benchmarks.loadgen.delivery cimport open_missing, settle_notes
from benchmarks.loadgen.histogram cimport hist_add_ns, hist_add_us, hist_bytes, hist_clear, hist_close, hist_open
from benchmarks.loadgen.schedule cimport Schedule, next_due, send_due
from benchmarks.loadgen.sockets cimport (
    CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, EPOLL_CLOEXEC, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT,
    client_close, client_connect, client_keep_tail, client_listen, client_read, client_write_more,
    clock_ns, epoll_create1, epoll_event, epoll_wait, timespec,
)
from benchmarks.loadgen.types cimport (
    ACK_RING, AUTHENTICATING, BATCH_SIZE, FREE, GONE, GREETING, INBUF_SIZE, LIVE, MARK_JOINED, MARK_OPENED,
    MEMO_COUNT, MODE_PAIR, MODE_ROOM, TAIL_MAX, Client, Framing, Gateway, Memo, Swarm as State,
)
from benchmarks.loadgen.wires.carriage cimport carriage_unwrap
from benchmarks.loadgen.wires.mqtt cimport mqtt_open
from benchmarks.loadgen.wires.nats cimport nats_open
from benchmarks.loadgen.wires.qw1 cimport OPCODE_CORE, OPCODE_SEND, qw1_open
from benchmarks.loadgen.wires.websocket cimport websocket_open
from cmodules cimport layout
from crypto.zstd cimport zstd_decompressor_free, zstd_decompressor_new
from frame.constants cimport MAX_RAW_BODY, PREAMBLE_ZSTD

LAYOUT = layout()

cdef extern from "<time.h>" nogil:
    int nanosleep(const timespec* wanted, timespec* left)

cdef enum:
    EVENTS = 2048
    POOL = 32
    SECOND = 1000000000
    PINGS_NS = 250000000    # between two looks at whose ping is due
    CHURN_HANDSHAKE = 1     # close and connect anew once the channel is secure
    CHURN_LOGIN = 2         # ... once the login is answered

WIRES = ("qw1", "mqtt", "nats", "websocket")


cdef class Swarm:
    """One process full of clients. Every method returns at once except `run`."""

    cdef State s
    cdef Schedule plan
    cdef epoll_event* events
    cdef uint64_t next_pings
    cdef uint64_t round_began
    cdef uint32_t ping_at
    cdef uint64_t nap_ns
    cdef uint64_t cpu_began
    # connecting
    cdef uint32_t connect_at, connect_to, connect_window, pending
    cdef int churn
    # joining
    cdef uint32_t join_at, join_to, join_window
    cdef uint64_t join_base
    # what C borrows
    cdef bytes tokens, token_at, topic, targets, target_at

    def __cinit__(self, *, str wire, gateways, uint32_t count, uint32_t tracked, uint32_t first, uint32_t slots=1, uint32_t deaf=0,
                  bint pair=False, uint32_t text_size=60, int suite=3, uint32_t key_id=0, bytes server_key=bytes(32),
                  uint32_t ping_s=0, uint32_t run_id=0, bint online_only=False, bint core=False, bint websocket=False,
                  bint zstd=False, uint32_t nap_us=0):
        cdef State* s = &self.s
        if not 32 <= text_size <= 16000:
            raise ValueError("a text is 32 to 16,000 characters long")
        if tracked + deaf > count or slots < 1 or len(server_key) != 32:
            raise ValueError("tracked <= count, slots >= 1, a server key of 32 bytes")
        s.count = count
        s.tracked = tracked
        s.deaf = count - deaf
        s.first = first
        s.slots = slots
        s.mode = MODE_PAIR if pair else MODE_ROOM
        s.text_size = text_size
        s.ping_s = ping_s
        s.run_id = run_id
        s.online_only = online_only
        s.opcode = OPCODE_CORE if core else OPCODE_SEND
        s.suite = suite
        s.request = 2
        memcpy(s.server_key, <const uint8_t*>server_key, 32)
        preamble = struct.pack(">2sBBBBH", b"QW", 1, 1, suite, PREAMBLE_ZSTD if zstd else 0, key_id)
        memcpy(s.preamble, <const uint8_t*>preamble, 8)
        self.nap_ns = nap_us * 1000
        if websocket:
            if wire != "qw1":
                raise ValueError("only QW1 travels inside WebSocket")
            s.framing = <Framing*>calloc(count, sizeof(Framing))
            if s.framing == NULL:
                raise MemoryError
        self._allocate(list(gateways))
        if zstd:
            s.decompressor = zstd_decompressor_new()
            s.inflated = <uint8_t*>malloc(MAX_RAW_BODY)
            if s.decompressor == NULL or s.inflated == NULL:
                raise MemoryError
        if wire == "qw1":
            qw1_open(s, POOL)
        elif wire == "mqtt":
            mqtt_open(s)
        elif wire == "nats":
            nats_open(s)
        elif wire == "websocket":
            websocket_open(s)
        else:
            raise ValueError(f"no such wire: {wire}")
        s.now = clock_ns(CLOCK_MONOTONIC)
        self.round_began = s.now
        self.cpu_began = clock_ns(CLOCK_THREAD_CPUTIME_ID)

    cdef int _allocate(self, list gateways) except -1:
        cdef State* s = &self.s
        cdef uint32_t i
        s.clients = <Client*>calloc(s.count, sizeof(Client))
        s.started = <uint64_t*>calloc(s.count, sizeof(uint64_t))
        s.next_sequence = <uint32_t*>malloc(max(1, s.tracked * s.slots) * sizeof(uint32_t))
        s.memos = <Memo*>calloc(MEMO_COUNT, sizeof(Memo))
        s.inbuf = <uint8_t*>malloc(INBUF_SIZE + TAIL_MAX + sizeof(Framing))
        s.batch = <uint8_t*>malloc(BATCH_SIZE + 64)
        s.sealed = <uint8_t*>malloc(BATCH_SIZE + 16448)
        s.due = <uint64_t*>calloc(ACK_RING, sizeof(uint64_t))
        s.gateways = <Gateway*>calloc(len(gateways), sizeof(Gateway))
        self.events = <epoll_event*>malloc(EVENTS * sizeof(epoll_event))
        s.epoll = epoll_create1(EPOLL_CLOEXEC)
        if (s.clients == NULL or s.started == NULL or s.next_sequence == NULL or s.memos == NULL or s.inbuf == NULL
                or s.batch == NULL or s.sealed == NULL or s.due == NULL or s.gateways == NULL
                or self.events == NULL or s.epoll < 0):
            raise MemoryError
        for i in range(s.tracked * s.slots):
            s.next_sequence[i] = 1
        for i in range(s.count):
            s.clients[i].fd = -1
        s.gateway_count = len(gateways)
        for i, (host, port) in enumerate(gateways):
            s.gateways[i].ip = int.from_bytes(net.inet_aton(host), "little")
            s.gateways[i].port = net.htons(port)
        open_missing(&s.missing, 1 << 20)
        hist_open(&s.delivery)
        hist_open(&s.ack)
        hist_open(&s.lag)
        hist_open(&s.turn)
        hist_open(&s.login)
        return 0

    def __dealloc__(self):
        cdef State* s = &self.s
        cdef uint32_t i
        if s.clients != NULL:
            for i in range(s.count):
                if s.clients[i].state != FREE and s.clients[i].state != GONE:
                    client_close(s, i)
        hist_close(&s.delivery)
        hist_close(&s.ack)
        hist_close(&s.lag)
        hist_close(&s.turn)
        hist_close(&s.login)
        free(s.clients)
        free(s.started)
        free(s.framing)
        zstd_decompressor_free(s.decompressor)
        free(s.inflated)
        free(s.next_sequence)
        free(s.memos)
        free(s.inbuf)
        free(s.batch)
        free(s.sealed)
        free(s.due)
        free(s.gateways)
        free(s.missing.keys)
        free(s.pool)
        free(s.pool_message1)
        free(self.events)
        free(self.plan.sequence)

    def login_with(self, bytes tokens, offsets):
        """Tokens of all clients: client i logs in with tokens[offsets[i]:offsets[i + 1]]; None: stop at the channel."""
        self.tokens = tokens
        self.token_at = struct.pack(f"={len(offsets)}I", *offsets)
        if len(offsets) != self.s.count + 1 or offsets[len(offsets) - 1] > len(tokens):
            raise ValueError("one token for each client")
        self.s.tokens = <const uint8_t*>self.tokens
        self.s.token_at = <const uint32_t*><const uint8_t*>self.token_at

    def forget_logins(self):
        """Give back the memory of the tokens; nobody can log in any more."""
        self.connect_to = 0
        self.s.tokens = NULL
        self.s.token_at = NULL
        self.tokens = self.token_at = b""

    def connect(self, uint32_t to, uint32_t window, int churn=0):
        """Connect clients [0, to) that are not connected, `window` of them under way at a time."""
        self.connect_at = 0
        self.connect_to = min(to, self.s.count)
        self.connect_window = window
        self.churn = churn

    def join(self, bytes topic, uint32_t to, uint32_t window):
        """Let clients [0, to) join `topic`."""
        self.topic = topic
        self.s.topic = <const uint8_t*>self.topic
        self.s.topic_len = len(topic)
        self.join_at = 0
        self.join_to = min(to, self.s.count)
        self.join_window = window
        self.join_base = self.s.n.joined

    def schedule(self, *, uint32_t first, uint32_t step, uint32_t publisher, targets, double interval_ns,
                 uint64_t start, uint64_t stop, uint64_t hold_ns=0):
        """Open-loop sending: message m is due at start + m x interval_ns, by sender m mod len(targets), until stop.

        Sender k is client first + k x step, publisher number `publisher` + k, and writes to targets[k] (bytes).
        Its sequence goes on from an earlier schedule of the same swarm.
        """
        cdef Schedule* plan = &self.plan
        cdef uint32_t senders = len(targets)
        if senders == 0 or interval_ns <= 0 or first + (senders - 1) * step >= self.s.count:
            raise ValueError("senders that exist and a positive interval")
        if plan.sequence != NULL and plan.senders != senders:
            raise ValueError("the senders of a swarm are fixed by its first schedule")
        if plan.sequence == NULL:
            plan.sequence = <uint32_t*>calloc(senders, sizeof(uint32_t))
        self.targets = b"".join(targets)
        offsets = [0, *accumulate(map(len, targets))]
        self.target_at = struct.pack(f"={senders + 1}I", *offsets)
        plan.targets = <const uint8_t*>self.targets
        plan.target_at = <const uint32_t*><const uint8_t*>self.target_at
        plan.senders = senders
        plan.first = first
        plan.step = step
        plan.publisher = publisher
        plan.start = plan.next_write = start
        plan.stop = stop
        plan.hold_ns = hold_ns
        plan.index = 0
        plan.interval_ns = interval_ns

    def window(self, uint64_t begin, uint64_t end):
        """Measure messages due in [begin, end) ns and count arrivals in it; forgets earlier latencies."""
        settle_notes(&self.s)
        self.s.window_from = begin
        self.s.window_to = end
        hist_clear(&self.s.delivery)
        hist_clear(&self.s.ack)
        hist_clear(&self.s.lag)
        hist_clear(&self.s.turn)

    def clear_login_times(self):
        hist_clear(&self.s.login)

    def set_nap(self, uint32_t us):
        self.nap_ns = us * 1000

    def run(self, uint64_t until):
        """Turn until CLOCK_MONOTONIC reads `until` ns."""
        with nogil:
            self._run(until)

    def counters(self):
        """What happened since the beginning, and how much CPU this thread took for it."""
        self.s.n.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - self.cpu_began
        return dict(self.s.n)

    def histograms(self):
        settle_notes(&self.s)
        return {
            "delivery": hist_bytes(&self.s.delivery), "ack": hist_bytes(&self.s.ack), "lag": hist_bytes(&self.s.lag),
            "turn": hist_bytes(&self.s.turn), "login": hist_bytes(&self.s.login),
        }

    @property
    def sending(self):
        """Whether the schedule still has messages to write."""
        return self.plan.interval_ns > 0

    @property
    def busy(self):
        """Connections or joins still under way or to come."""
        return (self.connect_at < self.connect_to or self.pending > 0 or self.join_at < self.join_to
                or self.s.n.joined - self.join_base < self.join_to)

    def listen(self, bint listening):
        """Let the last `deaf` clients stop reading, or go on."""
        cdef uint32_t i
        for i in range(self.s.deaf, self.s.count):
            if self.s.clients[i].state == LIVE:
                client_listen(&self.s, i, listening)

    def close_all(self):
        cdef uint32_t i
        for i in range(self.s.count):
            if self.s.clients[i].state != FREE and self.s.clients[i].state != GONE:
                client_close(&self.s, i)

    # the loop

    cdef int _ready(self, int state) noexcept nogil:
        return state == LIVE or (state == AUTHENTICATING and self.churn == CHURN_HANDSHAKE)

    cdef void _settle(self, uint32_t id, int before) noexcept nogil:
        """A client's state may have changed: keep the window of connections under way right, and churn."""
        cdef State* s = &self.s
        cdef int after = s.clients[id].state
        if before == after:
            return
        if after == GONE:
            if before == LIVE and id >= s.deaf:
                s.n.deaf_closed += 1
            elif before == LIVE and not (self.churn == CHURN_LOGIN):
                s.n.closed += 1
            else:
                s.n.failed += 1
                self.pending -= 1
        elif self._ready(after) and not self._ready(before):
            self.pending -= 1
            if self.churn:
                client_close(s, id)
                s.clients[id].state = FREE
                if self.connect_to:
                    self._connect(id)

    cdef void _connect(self, uint32_t id) noexcept nogil:
        self.pending += 1
        if client_connect(&self.s, id) != 0:
            self.s.n.failed += 1
            self.pending -= 1

    cdef void _ramp(self) noexcept nogil:
        cdef State* s = &self.s
        cdef uint32_t budget = 64
        cdef Client* c
        while self.connect_at < self.connect_to and self.pending < self.connect_window and budget:
            c = &s.clients[self.connect_at]
            if c.state == FREE or c.state == GONE:
                self._connect(self.connect_at)
                budget -= 1
            self.connect_at += 1
        while self.join_at < self.join_to and self.join_at - (s.n.joined - self.join_base) < self.join_window:
            c = &s.clients[self.join_at]
            c.marks &= ~MARK_JOINED
            if c.state == LIVE and s.wire.join(s, self.join_at, s.topic, s.topic_len) != 0:
                self._drop(self.join_at)
            self.join_at += 1

    cdef void _drop(self, uint32_t id) noexcept nogil:
        cdef int before = self.s.clients[id].state
        client_close(&self.s, id)
        self._settle(id, before)

    cdef void _pings(self) noexcept nogil:
        """Every client pings once in ping_s, one after another: the heartbeats of a crowd come evenly in time."""
        cdef State* s = &self.s
        cdef uint64_t period = <uint64_t>s.ping_s * SECOND, gone = s.now - self.round_began
        cdef uint32_t until
        self.next_pings = s.now + PINGS_NS
        if period == 0:
            return
        until = s.count if gone >= period else <uint32_t>(<double>s.count * <double>gone / <double>period)
        while self.ping_at < until:
            if s.clients[self.ping_at].state == LIVE and s.wire.ping(s, self.ping_at) != 0:
                self._drop(self.ping_at)
            self.ping_at += 1
        if gone >= period:
            self.ping_at = 0
            self.round_began = s.now

    cdef void _event(self, uint32_t id, uint32_t what) noexcept nogil:
        cdef State* s = &self.s
        cdef Client* c = &s.clients[id]
        cdef int before = c.state
        cdef ptrdiff_t got, used
        if c.fd < 0:
            return
        if what & EPOLLOUT and client_write_more(s, id) != 0:
            self._drop(id)
            return
        if not what & (EPOLLIN | EPOLLERR | EPOLLHUP):
            return
        got = client_read(s, id)
        if got == 0:
            return
        s.now = clock_ns(CLOCK_MONOTONIC)
        if s.framing != NULL and got > 0:
            got = carriage_unwrap(s, id, s.inbuf, c.tail_len, <size_t>got)
        if s.framing != NULL and not c.marks & MARK_OPENED:
            used = 0 if got > 0 else -1
        else:
            used = s.wire.feed(s, id, s.inbuf, <size_t>got) if got >= 0 else -1
        if used < 0 or client_keep_tail(s, id, s.inbuf + used, <size_t>(got - used)) != 0:
            self._drop(id)
            return
        self._settle(id, before)

    cdef int _wait_ms(self, uint64_t until) noexcept nogil:
        """How long epoll_wait may sleep."""
        cdef uint64_t wake = until
        if self.plan.interval_ns > 0:
            wake = min(wake, next_due(&self.plan))
        wake = min(wake, self.next_pings)
        return <int>((wake - self.s.now + 999999) // 1000000) if wake > self.s.now else 0

    cdef void _run(self, uint64_t until) noexcept nogil:
        cdef State* s = &self.s
        cdef int i, n
        cdef uint64_t began
        cdef timespec nap
        nap.tv_sec = 0
        while True:
            s.now = clock_ns(CLOCK_MONOTONIC)
            if s.now >= until:
                return
            if self.plan.interval_ns > 0:
                send_due(s, &self.plan)
            if self.connect_at < self.connect_to or self.join_at < self.join_to:
                self._ramp()
            if s.now >= self.next_pings:
                self._pings()
            n = epoll_wait(s.epoll, self.events, EVENTS, self._wait_ms(until))
            began = s.now = clock_ns(CLOCK_MONOTONIC)
            s.n.turns += 1
            s.window_open = s.now - s.window_from < s.window_to - s.window_from
            for i in range(n):
                self._event(<uint32_t>self.events[i].data.u64, self.events[i].events)
            if n > 0 and s.window_open:
                hist_add_us(&s.turn, (clock_ns(CLOCK_MONOTONIC) - began) // 1000)
            if n == EVENTS:
                s.n.full_polls += 1
            elif self.nap_ns and n > 0:
                s.n.naps += 1
                nap.tv_nsec = self.nap_ns
                nanosleep(&nap, NULL)
