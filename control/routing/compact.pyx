"""The routing directory of an im process: Routes over the compact table, and a gateway's own sum of its topics."""

from collections import OrderedDict, deque

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cmodules cimport layout
from control.routing.table cimport (
    GATEWAYS,
    KEY,
    SEGMENTS,
    Gateway,
    Table,
    digest_of,
    gateway_begin,
    gateway_dies,
    gateway_end,
    gateway_of,
    table_free,
    table_new,
    table_sweep,
    topic_add,
    topic_gateways,
    topic_remove,
)

import secrets

LAYOUT = layout()

EXPIRED = 16
EXPECTED_TICKS = 30
WORK_TOPICS = 2048
WORK_SEGMENTS = 4

cdef enum:
    ROOM = 256


cdef void _digest_key(uint8_t* key, uint64_t node, uint64_t epoch) noexcept nogil:
    memcpy(key, &epoch, 8)
    memcpy(key + 8, &node, 8)


cdef class TopicSum:
    """Of the topics of one gateway epoch: how many, and their digests added up."""

    cdef uint8_t _key[KEY]
    cdef readonly uint64_t count
    cdef readonly uint64_t digest

    def __cinit__(self, uint64_t node, uint64_t epoch):
        _digest_key(self._key, node, epoch)

    def add(self, str topic):
        cdef Py_ssize_t n = 0
        cdef const char* name = PyUnicode_AsUTF8AndSize(topic, &n)
        self.count += 1
        self.digest += digest_of(self._key, name, n)

    def remove(self, str topic):
        cdef Py_ssize_t n = 0
        cdef const char* name = PyUnicode_AsUTF8AndSize(topic, &n)
        self.count -= 1
        self.digest -= digest_of(self._key, name, n)

    def become(self, uint64_t count, uint64_t digest):
        self.count = count
        self.digest = digest


cdef class CompactRoutes:
    """Implements Routes."""

    cdef Table* _table
    cdef dict _epochs
    cdef dict _expired
    cdef list _alone
    cdef object _expected
    cdef uint64_t _ticks

    def __cinit__(self, bytes key=None, uint64_t mask=0xFFFFFFFFFFFFFFFF):
        cdef bytes secret = secrets.token_bytes(KEY) if key is None else key
        if len(secret) != KEY:
            raise ValueError("the key has 16 bytes")
        self._table = table_new(secret, mask)
        if self._table == NULL:
            raise MemoryError
        self._epochs = {}
        self._expired = {}
        self._alone = []
        self._expected = OrderedDict()  # (node, epoch, topic) -> the tick it is forgotten at, soonest first

    def __dealloc__(self):
        table_free(self._table)

    def announce(self, int node, epoch, topics):
        cdef Py_ssize_t n = 0
        cdef const char* name
        if self._epochs.get(node) != epoch:
            return
        for topic in topics:
            name = PyUnicode_AsUTF8AndSize(topic, &n)
            if topic_add(self._table, node, name, n, True) < 0:
                raise MemoryError

    def expect(self, int node, epoch, str topic):
        cdef Py_ssize_t n = 0
        cdef const char* name = PyUnicode_AsUTF8AndSize(topic, &n)
        cdef int new
        if self._epochs.get(node) != epoch:
            return
        new = topic_add(self._table, node, name, n, False)
        if new < 0:
            raise MemoryError
        if new:
            one = (node, epoch, topic)
            self._expected[one] = self._ticks + EXPECTED_TICKS
            self._expected.move_to_end(one)

    def withdraw(self, int node, epoch, topics):
        cdef Py_ssize_t n = 0
        cdef const char* name
        if self._epochs.get(node) != epoch:
            return
        for topic in topics:
            name = PyUnicode_AsUTF8AndSize(topic, &n)
            topic_remove(self._table, node, name, n, False)

    def begin(self, int node, epoch):
        if self._epochs.get(node) == epoch:
            gateway_begin(self._table, node)

    def end(self, int node, epoch):
        if self._epochs.get(node) == epoch:
            gateway_end(self._table, node)

    def gateways(self, str topic):
        cdef Py_ssize_t n = 0
        cdef const char* name = PyUnicode_AsUTF8AndSize(topic, &n)
        cdef uint16_t some[ROOM]
        cdef uint32_t found = topic_gateways(self._table, name, n, some, ROOM), i
        cdef bytearray all
        cdef uint16_t* at = some
        if found == 0:
            return ()
        if found == 1:
            return self._alone[some[0]]
        if found > ROOM:
            all = bytearray(found * sizeof(uint16_t))
            at = <uint16_t*><char*>all
            topic_gateways(self._table, name, n, at, found)
        return tuple([at[i] for i in range(found)])

    def live(self, int node, epoch):
        cdef Gateway* g
        if not 0 < node < GATEWAYS:
            raise ValueError(f"no node id: {node}")
        if self._epochs.get(node) != epoch:
            g = gateway_of(self._table, node)
            if g == NULL:
                raise MemoryError
            if g.live:
                gateway_dies(self._table, node)
            _digest_key(g.key, node, epoch)
            g.live = True
            self._epochs[node] = epoch
            while len(self._alone) <= node:
                self._alone.append((len(self._alone),))
        expired = self._expired.get(node, ())
        if epoch not in expired:
            return False
        expired.remove(epoch)
        return True

    def expire(self, int node, epoch):
        expired = self._expired.setdefault(node, deque(maxlen=EXPIRED))
        if epoch not in expired:
            expired.append(epoch)
        if self._epochs.get(node) == epoch:
            gateway_dies(self._table, node)
            del self._epochs[node]

    def held(self, int node, epoch):
        cdef Gateway* g
        if self._epochs.get(node) != epoch:
            return None
        g = gateway_of(self._table, node)
        return None if g.first != g.now else (g.told[1], g.digest[1])

    def size(self):
        cdef uint64_t told, expected
        told, expected = self._counts()
        return told + expected

    cdef tuple _counts(self):
        cdef uint64_t told = 0, expected = 0
        cdef Gateway* g
        for node in self._epochs:
            g = gateway_of(self._table, node)
            told += g.told[0] + g.told[1]
            expected += g.expected[0] + g.expected[1]
        return told, expected

    def stats(self):
        told, expected = self._counts()
        t = self._table
        return {
            "entries": told + expected,
            "expected": expected,
            "topics": t.cells,
            "bytes": t.cell_bytes + t.lists.bytes + sizeof(Table),
        }

    def tick(self):
        self._ticks += 1

    def work(self):
        cdef Py_ssize_t n = 0
        cdef const char* name
        cdef int done = 0
        expected = self._expected
        while expected and done < WORK_TOPICS:
            (node, epoch, topic), due = expected.popitem(last=False)
            if due > self._ticks:
                expected[node, epoch, topic] = due
                expected.move_to_end((node, epoch, topic), last=False)
                break
            done += 1
            if self._epochs.get(node) == epoch:
                if self._table.gateway[node].first != self._table.gateway[node].now:
                    # in a repetition, which says at its end what counts: a login may stand for what was told before
                    expected[node, epoch, topic] = self._ticks + EXPECTED_TICKS
                    continue
                name = PyUnicode_AsUTF8AndSize(topic, &n)
                topic_remove(self._table, node, name, n, True)
        if done == WORK_TOPICS:
            return True
        return not table_sweep(self._table, WORK_SEGMENTS)
