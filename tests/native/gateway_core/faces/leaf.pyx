"""The leaves of the core as Python objects: each builds the struct of one module, and no Loop.

One module though it is long: a face is a few lines, and each module more costs a build of its own.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.zstd cimport zstd_compressor_free, zstd_compressor_new
from gateway_core.includes.cpu cimport qw_cycles
from gateway_core.includes.sys cimport close, qw_eventfd
from gateway_core.leaf.address_table cimport (
    AddressLimits,
    AddressTable,
    address_enter,
    address_leave,
    addresses_free,
    addresses_init,
)
from gateway_core.leaf.admission cimport (
    MODEST,
    Admission,
    Wait,
    admission_door,
    admission_rate,
    admission_take,
    admission_wait,
)
from gateway_core.leaf.blocks cimport Blocks, block_free, block_new, block_resize, blocks_free
from gateway_core.leaf.class_budget cimport ClassBudget, ClassRates, class_budget_set, class_budget_take
from gateway_core.leaf.deadlines cimport (
    Deadlines,
    deadline_cap,
    deadline_set,
    deadlines_begin,
    deadlines_due,
    deadlines_free,
    deadlines_init,
    deadlines_scanning,
)
from gateway_core.leaf.dictionaries cimport (
    Dictionaries,
    dictionaries_free,
    dictionaries_set,
    dictionary_find,
    dictionary_frame,
    dictionary_sending,
)
from gateway_core.leaf.events cimport (
    EVENT_STRINGS,
    EventBell,
    EventCell,
    EventRing,
    bell_quiet,
    bell_ring,
    event_pop,
    event_push,
    events_free,
    events_init,
    events_settle,
    events_waiting,
)
from gateway_core.leaf.keys cimport (
    KEY_BYTES,
    Ephemeral,
    EphemeralPool,
    KeyRing,
    StaticKey,
    ephemeral_take,
    ephemerals_fill,
    ephemerals_free,
    ephemerals_init,
    key_find,
    key_ring_wipe,
)
from gateway_core.leaf.leavers cimport Leavers, leavers_add, leavers_drop, leavers_free, leavers_scanning
from gateway_core.leaf.lists cimport (
    IdQueue,
    Slots,
    ids_free,
    ids_init,
    ids_pop,
    ids_push,
    slots_free,
    slots_push,
    slots_swap_out,
)
from gateway_core.leaf.mailbox cimport (
    Cmd,
    Mailbox,
    mail_awake,
    mail_free,
    mail_init,
    mail_may_sleep,
    mail_pop,
    mail_push,
    mail_put,
    mail_waiting,
    mail_wake,
)
from gateway_core.leaf.policies cimport (
    NOT_TOLD,
    POLICY_COUNTS,
    Policies,
    PolicyRow,
    entry_set,
    policies_died,
    policies_enter,
    policies_entry,
    policies_free,
    policies_init,
    policies_leave,
    policies_told,
    rows_set,
)
from gateway_core.leaf.replay_filter cimport FILTER_MOST, ReplayFilter, replay_free, replay_init, replay_seen
from gateway_core.leaf.ring cimport (
    Unacked,
    UnackedLimits,
    unacked_ack,
    unacked_clear,
    unacked_erase,
    unacked_forget,
    unacked_get,
    unacked_push,
    unacked_reaches,
)
from gateway_core.leaf.shared_buf cimport (
    SharedBuf,
    buf_data,
    buf_frame,
    buf_live,
    buf_name,
    buf_packed,
    buf_packed_by,
    buf_ref,
    buf_unref,
)
from gateway_core.leaf.stats cimport (
    StageTimes,
    Stats,
    count_code,
    flush_add,
    stage_end,
    stages_dict,
    stat_add,
    stats_dict,
    turn_add,
)
from gateway_core.leaf.token_bucket cimport Bucket, BucketRate, bucket_fill, bucket_take

import sys

from cmodules import same_build

LAYOUT = layout()
same_build(sys.modules[__name__])


cdef class Blockyard:
    """Blocks as bytes that nobody else may change; each is named by its address."""

    cdef Blocks b

    def __dealloc__(self):
        blocks_free(&self.b)

    def new(self, bytes content):
        cdef void* p = block_new(&self.b, len(content))
        memcpy(p, <char*>content, len(content))
        return <size_t>p

    def read(self, size_t at, size_t n):
        return PyBytes_FromStringAndSize(<char*>at, n)

    def free(self, size_t at, size_t n):
        block_free(&self.b, <void*>at, n)

    def resize(self, size_t at, size_t had, bytes content):
        """It keeps what fits of what it had; `content` then is written over what is more."""
        cdef void* p = block_resize(&self.b, <void*>at, had, len(content))
        if len(content) > had:
            memcpy(<char*>p + had, <char*>content + had, len(content) - had)
        return <size_t>p


cdef class SlotList:
    cdef Slots s

    def __dealloc__(self):
        slots_free(&self.s)

    def push(self, uint32_t slot):
        return slots_push(&self.s, slot) == 0

    def swap_out(self, uint32_t i):
        slots_swap_out(&self.s, i)

    def all(self):
        return [self.s.at[i] for i in range(self.s.len)]


cdef class Ids:
    cdef IdQueue q

    def __cinit__(self, uint32_t cap):
        assert ids_init(&self.q, cap) == 0

    def __dealloc__(self):
        ids_free(&self.q)

    def push(self, uint64_t id):
        return ids_push(&self.q, id)

    def pop(self):
        return ids_pop(&self.q)

    def __len__(self):
        return self.q.count


cdef class Counters:
    """Stats of one loop; `sums` adds several up."""

    cdef Stats s

    def add(self, int which, long n):
        stat_add(&self.s, which, n)

    def reason(self, int which):
        self.s.reasons[which] += 1

    def code(self, int code):
        count_code(&self.s, code)

    def flush(self, uint32_t frames):
        flush_add(&self.s, frames)

    def turn(self, uint64_t ns):
        turn_add(&self.s, ns)

    def stage(self, int which, uint64_t cycles):
        stage_end(&self.s, which, qw_cycles() - cycles, 1)


def sums(*counters):
    cdef Stats* parts[8]
    cdef int i
    for i in range(len(counters)):
        parts[i] = &(<Counters>counters[i]).s
    return stats_dict(parts, len(counters))


def stages(Counters counters, double cycles_per_ns):
    cdef StageTimes told
    cdef Stats* part = &counters.s
    memset(&told, 0, sizeof(told))
    return stages_dict(&part, 1, cycles_per_ns, &told)


cdef class Ring:
    cdef EventRing r
    cdef Stats stats

    def __cinit__(self, uint32_t cells, uint64_t most=1 << 24):
        assert events_init(&self.r, cells, most, &self.stats) == 0

    def __dealloc__(self):
        events_free(&self.r)

    def push(self, int kind, uint64_t conn, *strings):
        cdef const void* at[EVENT_STRINGS]
        cdef uint32_t sizes[EVENT_STRINGS]
        for i, text in enumerate(strings):
            at[i] = <char*>(<bytes>text)
            sizes[i] = len(text)
        return event_push(&self.r, kind, conn, 0, 0, 0, 0, at, sizes, len(strings)) == 0

    def pop(self):
        """(kind, conn, strings), or None."""
        cdef EventCell e
        cdef size_t at = 0
        if not event_pop(&self.r, &e):
            return None
        strings = []
        for i in range(EVENT_STRINGS):
            strings.append(PyBytes_FromStringAndSize(<char*>e.blob + at, e.size[i]))
            at += e.size[i]
        free(e.blob)
        return e.kind, e.conn, strings

    def settle(self):
        return events_settle(&self.r)

    def waiting(self):
        return events_waiting(&self.r)


cdef class Bell:
    cdef EventBell b

    def __cinit__(self):
        self.b.fd = qw_eventfd()
        self.b.rung = 0

    def __dealloc__(self):
        close(self.b.fd)

    def fileno(self):
        return self.b.fd

    def ring(self):
        bell_ring(&self.b)

    def quiet(self):
        bell_quiet(&self.b)


cdef class Mail:
    cdef Mailbox m

    def __cinit__(self, uint32_t cells):
        assert mail_init(&self.m, cells) == 0

    def __dealloc__(self):
        mail_free(&self.m)

    def fileno(self):
        return self.m.wake_fd

    def push(self, uint64_t conn, uint64_t x=0):
        cdef Cmd cmd
        memset(&cmd, 0, sizeof(cmd))
        cmd.conn = conn
        cmd.x = x
        return mail_push(&self.m, &cmd)

    def put(self, uint64_t conn):
        cdef Cmd cmd
        memset(&cmd, 0, sizeof(cmd))
        cmd.conn = conn
        return mail_put(&self.m, &cmd)

    def push_many(self, uint64_t conn, uint64_t n):
        """n commands of one producer, x = 0..n-1, without the GIL; waits for room."""
        cdef Cmd cmd
        memset(&cmd, 0, sizeof(cmd))
        cmd.conn = conn
        with nogil:
            for cmd.x in range(n):
                while not mail_push(&self.m, &cmd):
                    pass

    def pop_many(self, uint32_t n):
        """The next n commands as (conn, x), taken without the GIL; waits for them."""
        cdef uint64_t* got = <uint64_t*>malloc(2 * n * sizeof(uint64_t))
        cdef Cmd cmd
        cdef uint32_t i
        with nogil:
            for i in range(n):
                while not mail_pop(&self.m, &cmd):
                    pass
                got[2 * i] = cmd.conn
                got[2 * i + 1] = cmd.x
        out = [(got[2 * i], got[2 * i + 1]) for i in range(n)]
        free(got)
        return out

    def pop(self):
        cdef Cmd cmd
        return (cmd.conn, cmd.x) if mail_pop(&self.m, &cmd) else None

    def wake(self):
        mail_wake(&self.m)

    def waiting(self):
        return mail_waiting(&self.m)

    def may_sleep(self):
        return mail_may_sleep(&self.m)

    def awake(self):
        mail_awake(&self.m)


cdef class Frames:
    """One SharedBuf of one frame, with one reference."""

    cdef SharedBuf* b

    def __cinit__(self, int type, bytes head, bytes body, bytes name=b""):
        self.b = buf_frame(type, <uint8_t*>head, len(head), <uint8_t*>body, len(body), <char*>name, len(name))
        assert self.b != NULL

    def __dealloc__(self):
        buf_unref(self.b)

    def data(self):
        return PyBytes_FromStringAndSize(<char*>buf_data(self.b), self.b.size)

    def name(self):
        return PyBytes_FromStringAndSize(buf_name(self.b), self.b.name_len)

    def counts(self):
        return self.b.refs, self.b.frames, self.b.msgs

    def refer(self, int times):
        """Takes and gives back references, without the GIL."""
        cdef int i
        with nogil:
            for i in range(times):
                buf_ref(self.b)
            for i in range(times):
                buf_unref(self.b)

    def packed(self):
        """The bytes of the compressed form; of the plain one when that does not pay."""
        cdef void* compressor = zstd_compressor_new(3)
        cdef SharedBuf* twin
        with nogil:
            twin = buf_packed(self.b, compressor)
        zstd_compressor_free(compressor)
        return PyBytes_FromStringAndSize(<char*>buf_data(twin), twin.size)


cdef class KeptDictionaries:
    cdef Dictionaries d
    cdef void* compressor

    def __cinit__(self):
        memset(&self.d, 0, sizeof(self.d))
        self.compressor = zstd_compressor_new(3)

    def __dealloc__(self):
        dictionaries_free(&self.d)
        zstd_compressor_free(self.compressor)

    def set(self, bytes dictionary not None):
        cdef SharedBuf* b = NULL
        if dictionary:
            b = buf_frame(25, NULL, 0, dictionary, len(dictionary), NULL, 0)
        return dictionaries_set(&self.d, b, len(dictionary), 3) == 0

    def ids(self):
        return [self.d.at[i].id for i in range(self.d.n)]

    def sending(self):
        return 0 if dictionary_sending(&self.d) == NULL else dictionary_sending(&self.d).id

    def found(self, uint32_t id):
        return dictionary_find(&self.d, id) != NULL and dictionary_frame(&self.d, id) != NULL

    def packed(self, Frames frames not None):
        cdef SharedBuf* twin = buf_packed_by(frames.b, self.compressor, dictionary_sending(&self.d))
        return PyBytes_FromStringAndSize(<char*>buf_data(twin), twin.size)


def buffers_alive():
    return buf_live()


cdef class TokenBucket:
    cdef Bucket b
    cdef BucketRate rate

    def __cinit__(self, uint32_t per_s, uint32_t burst, uint64_t now_ns, uint32_t most=0xFFFF):
        self.rate.per_s = per_s
        self.rate.burst = burst
        bucket_fill(&self.b, &self.rate, now_ns, most)

    def take(self, uint64_t now_ns, uint32_t frames):
        return bucket_take(&self.b, &self.rate, now_ns, frames)


cdef class Door:
    """Who asks has a network of its own, or `address`, of 16 bytes."""
    cdef Admission a
    cdef uint64_t others
    cdef int asker

    def __cinit__(self):
        self.asker = MODEST

    def rate(self, int visitor, double per_s, double burst_s, uint64_t now_ns):
        admission_rate(&self.a, visitor, per_s, burst_s, now_ns)

    def door(self, int door, uint32_t least_ms, uint32_t most_ms):
        admission_door(&self.a, door, least_ms, most_ms)

    def take(self, int visitor, uint64_t now_ns, bytes address=b""):
        return self.take_many(visitor, now_ns, 1, address) == 1

    def take_many(self, int visitor, uint64_t now_ns, int tries, bytes address=b""):
        """How many of them were let in; for threads that try at once."""
        cdef uint64_t ip[2]
        cdef bint own = len(address) == 0
        cdef int i, asker = 0, taken = 0
        ip[0] = ip[1] = 0
        if not own:
            assert len(address) == sizeof(ip)
            memcpy(ip, PyBytes_AS_STRING(address), sizeof(ip))
        with nogil:
            for i in range(tries):
                if own:
                    self.others += 1
                    ip[0] = self.others
                taken += admission_take(&self.a, visitor, <uint8_t*>ip, 1, now_ns, &asker)
        self.asker = asker
        return taken

    def wait(self, int visitor, uint64_t now_ns):
        """What the one that asked last is told; who was never heard of is modest."""
        cdef Wait wait = admission_wait(&self.a, visitor, self.asker, now_ns)
        return wait.retry_ms, wait.jitter_ms


cdef class LeaverList:
    cdef Leavers l

    def __dealloc__(self):
        leavers_free(&self.l)

    def add(self, uint64_t conn, uint32_t due_s, int code):
        assert leavers_add(&self.l, conn, due_s, code) == 0

    def look(self, uint32_t now_s, uint32_t most):
        """Those who are due now, out of at most so many; they leave the list."""
        cdef list found = []
        while most and leavers_scanning(&self.l, now_s):
            most -= 1
            if self.l.of[self.l.at].due_s > now_s:
                self.l.at += 1
                continue
            found.append((self.l.of[self.l.at].conn, self.l.of[self.l.at].code))
            leavers_drop(&self.l)
        return found

    def __len__(self):
        return self.l.n


cdef class Budget:
    cdef ClassBudget b

    def __cinit__(self, double normal, double high, double notices=0, uint64_t now_ns=1):
        self.set(normal, high, notices, now_ns)

    def set(self, double normal, double high, double notices, uint64_t now_ns):
        cdef ClassRates rates
        rates.normal = normal
        rates.high = high
        rates.notices = notices
        class_budget_set(&self.b, &rates, now_ns)

    def take(self, int cls, uint64_t now_ns):
        return bool(class_budget_take(&self.b, cls, now_ns))


cdef class Addresses:
    cdef AddressTable t

    def __cinit__(self, uint32_t connections=0, uint32_t per_s=0, uint32_t burst=0, uint32_t net64=0, uint64_t seed=1):
        cdef AddressLimits limits
        limits.connections = connections
        limits.accepts_per_s = per_s
        limits.accepts_burst = burst
        limits.net64_connections = net64
        assert addresses_init(&self.t, &limits, seed) == 0

    def __dealloc__(self):
        addresses_free(&self.t)

    def enter(self, bytes ip16, uint64_t now_ns):
        """(verdict, what `leave` takes)."""
        cdef uint8_t* ip = ip16
        cdef uint32_t ref
        cdef int verdict
        with nogil:
            verdict = address_enter(&self.t, now_ns, ip, &ref)
        return verdict, ref

    def leave(self, uint32_t ref):
        with nogil:
            address_leave(&self.t, ref)


cdef class DeadlineScan:
    cdef Deadlines d

    def __cinit__(self, uint32_t cap):
        assert deadlines_init(&self.d, cap) == 0

    def __dealloc__(self):
        deadlines_free(&self.d)

    def set(self, uint32_t slot, uint32_t at_s):
        deadline_set(&self.d, slot, at_s)

    def cap(self, uint32_t slot, uint32_t at_s):
        deadline_cap(&self.d, slot, at_s)

    def begin(self, uint32_t high, uint32_t now_s):
        return deadlines_begin(&self.d, high, now_s)

    def due(self, uint32_t now_s, uint32_t slots, uint32_t room):
        cdef uint32_t* at = <uint32_t*>malloc(room * sizeof(uint32_t))
        cdef uint32_t n = deadlines_due(&self.d, now_s, slots, at, room)
        out = [at[i] for i in range(n)]
        free(at)
        return out

    def scanning(self):
        return deadlines_scanning(&self.d)


cdef class PolicyTable:
    """Entries and rows without frames; a session is (row, told) here."""

    cdef Policies p

    def __cinit__(self):
        assert policies_init(&self.p) == 0

    def __dealloc__(self):
        policies_free(&self.p)

    def set_entry(self, uint32_t at, uint32_t rev):
        entry_set(&self.p, at, rev, 60, NULL)

    def set_row(self, uint32_t at, uint16_t main, uint16_t canary, uint16_t share, uint64_t seed):
        cdef PolicyRow row
        memset(&row, 0, sizeof(row))
        row.main, row.canary, row.share, row.seed = main, canary, share, seed
        rows_set(&self.p, at, 1, &row)

    def enter(self, bytes device):
        cdef uint16_t row = 9
        cdef uint8_t told = 9
        policies_enter(&self.p, &row, &told, PyBytes_AS_STRING(device), len(device))
        return row, told if told != NOT_TOLD else None

    def entry(self, uint16_t row, bytes device):
        return policies_entry(&self.p, row, PyBytes_AS_STRING(device), len(device))

    def tell(self, uint8_t told, uint32_t entry):
        policies_told(&self.p, &told, entry)
        return told

    def leave(self, uint16_t row, uint8_t told):
        policies_leave(&self.p, row, told)

    def died(self, uint8_t told, int count):
        policies_died(&self.p, told, count)

    def counts(self, uint32_t entry):
        return [self.p.entries[entry].count[i] for i in range(POLICY_COUNTS)]

    def sessions(self, uint32_t row):
        return self.p.rows[row].sessions


cdef class Pool:
    """Ephemeral pairs."""

    cdef EphemeralPool p

    def __cinit__(self, uint32_t cap):
        assert ephemerals_init(&self.p, cap) == 0

    def __dealloc__(self):
        ephemerals_free(&self.p)

    def fill(self, int n):
        return ephemerals_fill(&self.p, n)

    def take(self):
        """(was ready, private, public)."""
        cdef Ephemeral e
        cdef bint ready = ephemeral_take(&self.p, &e)
        return ready, bytes(e.priv[:KEY_BYTES]), bytes(e.pub[:KEY_BYTES])

    def memory(self):
        return PyBytes_FromStringAndSize(<char*>self.p.at, self.p.cap * sizeof(Ephemeral))


def keys_found(ids, uint16_wanted):
    """The place of a key id in a ring of these ids, or None; and whether the ring is all zero once wiped."""
    cdef KeyRing ring
    cdef StaticKey* key
    memset(&ring, 0, sizeof(ring))
    for i, id in enumerate(ids):
        ring.key[i].id = id
        ring.n += 1
    key = key_find(&ring, uint16_wanted)
    place = None if key == NULL else <int>(key - ring.key)
    key_ring_wipe(&ring)
    return place, not any((<uint8_t*>&ring)[:sizeof(ring)])


cdef class UnackedRing:
    """The unacknowledged messages of one session, which counts as it sends."""

    cdef Unacked* u
    cdef UnackedLimits limits
    cdef Stats stats
    cdef readonly int sent

    def __cinit__(self, uint32_t messages, uint32_t bytes, int sent=0):
        self.limits.messages = messages
        self.limits.bytes = bytes
        self.sent = sent

    def __dealloc__(self):
        unacked_clear(&self.u, &self.stats)

    def push(self, bytes body):
        cdef SharedBuf* b = buf_frame(6, NULL, 0, <uint8_t*>body, len(body), NULL, 0)
        self.sent += 1
        unacked_push(&self.u, &self.limits, &self.stats, b, self.sent)
        buf_unref(b)

    def ack(self, uint64_t number):
        unacked_ack(&self.u, &self.stats, number)

    def erase(self, bytes body, int type=6):
        """Something of this body takes back what was said before it; it is not pushed."""
        cdef SharedBuf* b = buf_frame(type, NULL, 0, <uint8_t*>body, len(body), NULL, 0)
        unacked_erase(&self.u, &self.stats, b)
        buf_unref(b)

    def forget(self, bytes talk):
        unacked_forget(&self.u, &self.stats, talk, len(talk))

    def reaches(self, uint64_t seen):
        return unacked_reaches(self.u, seen, self.sent)

    def behind(self, uint32_t seen):
        """The bodies of the messages behind `seen`."""
        out = []
        while seen < self.sent:
            seen += 1
            b = unacked_get(self.u, seen)
            out.append(PyBytes_FromStringAndSize(<char*>buf_data(b) + b.body_at, b.size - b.body_at))
        return out

    @property
    def held(self):
        """Messages, and whether there is any memory of its own."""
        return (0 if self.u == NULL else self.u.count), self.u != NULL


cdef class Replays:
    """A filter with a window, on a clock of the test's."""

    cdef ReplayFilter f

    def __cinit__(self, uint64_t window_ns):
        if replay_init(&self.f, window_ns) < 0:
            raise MemoryError

    def __dealloc__(self):
        replay_free(&self.f)

    def seen(self, bytes what, uint64_t now_ns):
        return bool(replay_seen(&self.f, <uint8_t*>what, len(what), now_ns))

    def fill(self):
        """As many as it takes."""
        self.f.n[self.f.now] = FILTER_MOST
