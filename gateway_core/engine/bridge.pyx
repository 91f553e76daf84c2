from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from cmodules cimport layout
from frame.varint cimport uv_get
from gateway_core.conn.resume cimport ClaimFacts
from gateway_core.includes.atomics cimport qw_add32, qw_sub32
from gateway_core.includes.sys cimport qw_clock_ns, qw_nap
from gateway_core.leaf.events cimport (
    ASKS_NO_TICKETS,
    ASKS_WEBSOCKET,
    EV_AUTH,
    EV_CALL,
    EV_CLOSED,
    EV_DROPPED,
    EV_ELSEWHERE,
    EV_LOOKED,
    EV_PARKED,
    EV_PICKED,
    EV_REPORT,
    EV_RESUMED,
    EV_SEND,
    EV_SESSION,
    EV_SILENT,
    EV_TAKEN,
    EV_TICKET,
    EventCell,
    bell_quiet,
    bell_ring,
    event_pop,
    events_settle,
    events_waiting,
)
from gateway_core.leaf.mailbox cimport mail_push, mail_put, mail_wake

LAYOUT = layout()


cdef str _str(const uint8_t* p, uint32_t n):
    return PyUnicode_DecodeUTF8(<const char*>p, n, b"replace")


cdef bytes _bytes(const uint8_t* p, uint32_t n):
    return PyBytes_FromStringAndSize(<const char*>p, n)


cdef list _bodies(const uint8_t* p, uint32_t n):
    """(uv length, bytes) one after another."""
    cdef list out = []
    cdef uint64_t size = 0
    cdef uint32_t at = 0
    while at < n:
        at += <uint32_t>uv_get(p + at, n - at, &size)
        out.append(_bytes(p + at, <uint32_t>size))
        at += <uint32_t>size
    return out


cdef tuple _claim(const EventCell* e, const uint8_t* user, const uint8_t* device, const uint8_t* peer, const uint8_t* facts):
    cdef ClaimFacts f
    cdef tuple told
    memcpy(&f, facts, sizeof(f))
    told = (
        e.kind, e.conn, e.code, _str(user, e.size[0]), _str(device, e.size[1]), f.platform, f.rev, f.until_s, f.issued_s,
        f.session, _str(peer, e.size[2]), bool(f.websocket),
    )
    if e.kind == EV_TICKET:
        return told
    return told + (f.node, f.epoch, f.conn, f.seen)


cdef tuple _event(const EventCell* e):
    cdef const uint8_t* p = e.blob
    cdef const uint8_t* q = p + e.size[0]
    cdef const uint8_t* r = q + e.size[1]
    cdef const uint8_t* s = r + e.size[2]
    if e.kind == EV_SEND or e.kind == EV_CALL:
        return (
            e.kind, e.conn, _str(p, e.size[0]), _str(q, e.size[1]), e.request, _str(r, e.size[2]), _bytes(s, e.size[3])
        )
    if e.kind == EV_CLOSED:
        return (e.kind, e.conn, _str(p, e.size[0]), _str(q, e.size[1]), e.code)
    if e.kind == EV_SESSION:
        return (e.kind, e.conn, _str(p, e.size[0]), _str(q, e.size[1]), e.a, e.request, _str(r, e.size[2]))
    if e.kind == EV_DROPPED:
        return (e.kind, _str(p, e.size[0]), e.conn, e.request, e.code)
    if e.kind == EV_PICKED:
        return (e.kind, e.conn, _str(p, e.size[0]), _str(q, e.size[1]), bool(e.b), bool(e.a))
    if e.kind == EV_LOOKED:
        return (e.kind, e.conn, e.request, _str(p, e.size[0]), _str(q, e.size[1]), _bytes(r, e.size[2]), e.code)
    if e.kind == EV_PARKED:
        return (e.kind, e.conn, _str(p, e.size[0]), _str(q, e.size[1]))
    if e.kind == EV_RESUMED:
        return (e.kind, e.conn, _str(p, e.size[0]), _str(q, e.size[1]), bool(e.a), _str(r, e.size[2]), bool(e.b))
    if e.kind == EV_TICKET or e.kind == EV_ELSEWHERE:
        return _claim(e, p, q, r, s)
    if e.kind == EV_TAKEN:
        return (e.kind, e.conn, e.request, e.a, e.b, _bodies(p, e.size[0]))
    if e.kind == EV_REPORT:
        return (e.kind, e.conn, _str(p, e.size[0]), e.b, bool(e.a), _bytes(q, e.size[1]))
    if e.kind == EV_SILENT:
        return (e.kind, e.conn, e.request, e.code)
    if e.kind == EV_AUTH:
        return (
            e.kind, e.conn, e.code, _bytes(p, e.size[0]), e.a, _str(q, e.size[1]), _bytes(r, e.size[2]),
            _str(s, e.size[3]), e.b, _str(s + e.size[3], e.size[4]), bool(e.request & ASKS_WEBSOCKET),
            bool(e.request & ASKS_NO_TICKETS),
        )
    return (e.kind, _str(p, e.size[0]), e.a, e.b)


cdef list take_events(Engine* engine, int most, bint running):
    cdef EventCell e
    cdef uint32_t i
    cdef list out = []
    cdef bint left = False
    bell_quiet(&engine.bell)
    for i in range(engine.n_loops):
        if not running:  # the loop's thread is gone: what did not fit its ring is ours to move
            events_settle(&engine.loops[i].events)
        while len(out) < most and event_pop(&engine.loops[i].events, &e):
            try:
                out.append(_event(&e))
            finally:
                free(e.blob)
            if not running:
                events_settle(&engine.loops[i].events)
        if events_waiting(&engine.loops[i].events):
            left = True
    if left:
        bell_ring(&engine.bell)
    return out


cdef int _push_slow(Engine* engine, int loop, const Cmd* cmd, int wait_ms) noexcept nogil:
    cdef uint64_t until = qw_clock_ns(0) + <uint64_t>wait_ms * 1000000
    while not mail_push(&engine.loops[loop].mail, cmd):
        if qw_clock_ns(0) >= until:
            return 0
        qw_nap(-1, 1)
    return 1


cdef int _give_slowly(Engine* engine, int loop, const Cmd* cmd, int wait_ms):
    cdef int taken
    qw_add32(&engine.givers, 1)
    with nogil:
        taken = _push_slow(engine, loop, cmd, wait_ms)
        qw_sub32(&engine.givers, 1)
    return taken


cdef int give(Engine* engine, int loop, const Cmd* cmd, int wait_ms):
    return 1 if mail_push(&engine.loops[loop].mail, cmd) else _give_slowly(engine, loop, cmd, wait_ms)


cdef int give_quiet(Engine* engine, int loop, const Cmd* cmd, int wait_ms):
    if mail_put(&engine.loops[loop].mail, cmd):
        return 1
    mail_wake(&engine.loops[loop].mail)  # full of what nobody told it of
    return _give_slowly(engine, loop, cmd, wait_ms)


cdef void wake_all(Engine* engine) noexcept nogil:
    cdef uint32_t i
    for i in range(engine.n_loops):
        mail_wake(&engine.loops[i].mail)
