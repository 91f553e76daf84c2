"""The buffers and sockets of the core as Python objects: each builds the struct of one module, and no Loop."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from gateway_core.includes.sys cimport IP_BYTES, close, qw_port_of
from gateway_core.leaf.shared_buf cimport SharedBuf, buf_data, buf_frame, buf_unref
from gateway_core.leaf.stats cimport Stats, stats_dict
from gateway_core.net.in_buffer cimport (
    IN_EXACT,
    IN_SLACK,
    InBuf,
    in_data,
    in_done,
    in_drop,
    in_keep,
    in_restore,
    in_websocket,
)
from gateway_core.net.listener cimport (
    Listener,
    listener_close,
    listener_init,
    listener_next,
    listener_open,
    listener_resume,
)
from gateway_core.net.out_queue cimport (
    OutQueue,
    QueueLimits,
    QueuePool,
    queue_clear,
    queue_peek,
    queue_pop,
    queue_push,
    queue_settle,
    queue_tail,
    queue_tail_done,
    queues_free,
    queues_init,
)
from gateway_core.net.poller cimport (
    ID_LISTENER,
    Poller,
    poller_add,
    poller_blank,
    poller_forget,
    poller_free,
    poller_init,
    poller_wait,
    poller_want,
    poller_watch,
    ready_id,
    ready_what,
)
from gateway_core.net.sender cimport (
    STAGE_FLUSH,
    STAGE_SENDS,
    Sender,
    sender_empty,
    sender_free,
    sender_full,
    sender_space,
    sender_run,
    sender_stage,
    sender_start,
)

import sys

from cmodules import same_build

LAYOUT = layout()
LISTENER = ID_LISTENER
SENDS = STAGE_SENDS
FLUSH = STAGE_FLUSH
same_build(sys.modules[__name__])


cdef dict _counts(Stats* stats):
    return stats_dict(&stats, 1)


cdef class Input:
    """What one connection keeps of its input."""

    cdef InBuf* b
    cdef Stats stats

    def __dealloc__(self):
        in_drop(&self.b, &self.stats)

    def keep(self, bytes data, size_t raw=0, bint exact=True):
        """The last `raw` bytes of data wait behind the record."""
        return in_keep(
            &self.b, &self.stats, <uint8_t*>data, len(data) - raw, raw, IN_EXACT if exact else IN_SLACK
        ) == 0

    def kept(self):
        """(record, raw)."""
        cdef size_t raw = 0
        cdef uint8_t* to = <uint8_t*>malloc(self.b.len + self.b.raw + 1 if self.b != NULL else 1)
        cdef size_t n = in_restore(self.b, to, &raw)
        out = PyBytes_FromStringAndSize(<char*>to, n), PyBytes_FromStringAndSize(<char*>to + n, raw)
        free(to)
        return out

    def done(self):
        in_done(&self.b, &self.stats)

    def websocket(self):
        return in_websocket(&self.b, &self.stats) == 0

    def place(self, left=None):
        """Payload bytes still to come of a WebSocket's frame; sets them first."""
        if left is not None:
            self.b.left = left
        return self.b.left

    def capacity(self):
        return self.b.cap if self.b != NULL else None

    def address(self):
        """Changes when the bytes moved."""
        return <size_t>in_data(self.b)

    def drop(self):
        in_drop(&self.b, &self.stats)

    def live(self):
        live = _counts(&self.stats)["live"]
        return live["in_buffers"], live["in_bytes"], live["ws_states"]


cdef class Queue:
    """The out queue of one connection, and the pool it comes from."""

    cdef QueuePool pool
    cdef OutQueue* q
    cdef Stats stats

    def __cinit__(self, soft=1 << 20, events=1 << 20, hard=1 << 20):
        cdef QueueLimits limits
        limits.soft_bytes = soft
        limits.event_bytes = events
        limits.hard_bytes = hard
        queues_init(&self.pool, &limits, &self.stats)

    def __dealloc__(self):
        queue_clear(&self.pool, &self.q, True)
        queues_free(&self.pool)

    def push(self, bytes body, int cls=0):
        """The verdict."""
        cdef SharedBuf* b = buf_frame(6, NULL, 0, <uint8_t*>body, len(body), NULL, 0)
        cdef int verdict
        b.cls = cls
        verdict = queue_push(&self.pool, &self.q, b)
        buf_unref(b)
        return verdict

    cdef bytes _body(self, SharedBuf* b):
        return PyBytes_FromStringAndSize(<char*>buf_data(b) + b.body_at, b.size - b.body_at)

    def pop(self):
        cdef SharedBuf* b = queue_pop(&self.pool, self.q)
        if b == NULL:
            return None
        out = self._body(b)
        buf_unref(b)
        return out

    def peek(self):
        cdef SharedBuf* b = queue_peek(self.q)
        return self._body(b) if b != NULL else None

    def bytes(self):
        return self.q.bytes if self.q != NULL else None

    def tail(self, bytes data):
        return queue_tail(&self.pool, &self.q, <uint8_t*>data, len(data)) == 0

    def tail_done(self):
        queue_tail_done(&self.pool, self.q)

    def settle(self):
        """Whether the queue was given back."""
        queue_settle(&self.pool, &self.q)
        return self.q == NULL

    def clear(self, bint tail_too):
        queue_clear(&self.pool, &self.q, tail_too)
        return self.q == NULL

    def idle(self):
        return self.pool.n_idle

    def counts(self):
        return _counts(&self.stats)


cdef class Polls:
    cdef Poller p

    def __cinit__(self):
        poller_blank(&self.p)
        assert poller_init(&self.p) == 0

    def __dealloc__(self):
        poller_free(&self.p)

    def add(self, int fd, uint64_t id):
        return poller_add(&self.p, fd, id) == 0

    def watch(self, int fd, uint64_t id):
        return poller_watch(&self.p, fd, id) == 0

    def want(self, int fd, uint64_t id, bint read, bint write):
        poller_want(&self.p, fd, id, read, write)

    def forget(self, int fd):
        poller_forget(&self.p, fd)

    def wait(self, int timeout_ms=0):
        """{id: READY_* bits}."""
        return {ready_id(&self.p, i): ready_what(&self.p, i) for i in range(poller_wait(&self.p, timeout_ms))}


cdef class Sends:
    """Use it in one thread: an io_uring belongs to the thread that opened it."""

    cdef Sender s

    def __cinit__(self, int kind):
        sender_start(&self.s, kind)

    def __dealloc__(self):
        sender_free(&self.s)

    def has_ring(self):
        return self.s.ring != NULL

    def full(self):
        return sender_full(&self.s)

    def stage(self, int fd, size_t owner, bytes data):
        cdef uint8_t* space = sender_space(&self.s)
        memcpy(space, <uint8_t*>data, len(data))
        sender_stage(&self.s, fd, <void*>owner, space, len(data))

    def run(self):
        """[(owner, result)]; the stage is empty then."""
        sender_run(&self.s)
        out = [(<size_t>self.s.at[i].owner, self.s.at[i].result) for i in range(self.s.n)]
        sender_empty(&self.s)
        return out


cdef class Door:
    """A listener and its poller."""

    cdef Listener l
    cdef Poller p
    cdef Stats stats

    def __cinit__(self):
        poller_blank(&self.p)
        listener_init(&self.l, &self.p, &self.stats)
        assert poller_init(&self.p) == 0

    def __dealloc__(self):
        listener_close(&self.l)
        poller_free(&self.p)

    def open(self, str host, int port=0):
        """0 or -errno."""
        return listener_open(&self.l, host.encode(), port, 16, 0, 0, 0)

    def port(self):
        return qw_port_of(self.l.fd)

    def next(self, uint64_t now_ns=1):
        """(fd, address, port), or None."""
        cdef uint8_t ip[IP_BYTES]
        cdef uint16_t port = 0
        cdef int fd
        memset(ip, 0, IP_BYTES)
        fd = listener_next(&self.l, now_ns, ip, &port)
        return (fd, bytes(ip[:IP_BYTES]), port) if fd >= 0 else None

    def resume(self, uint64_t now_ns):
        listener_resume(&self.l, now_ns)

    def paused(self):
        return self.l.accept_again_ns != 0

    def ready(self, int timeout_ms=1000):
        return [ready_id(&self.p, i) for i in range(poller_wait(&self.p, timeout_ms))]

    def close(self):
        listener_close(&self.l)

    def counts(self):
        return _counts(&self.stats)


def close_fd(int fd):
    close(fd)
