from libc.stdint cimport uint16_t, uint32_t, uint64_t

from cmodules cimport layout
from frame.constants cimport CLOSE_MAX_AGE
from gateway_core.conn.states cimport LIVE
from gateway_core.conn.table cimport (
    F_AGED,
    F_OVERDUE,
    F_TOLD,
    F_WS,
    Session,
    conn_find,
    conn_id,
    id_in_loop,
    session_device,
    session_of,
    session_user,
    slot_of,
)
from gateway_core.conn.transport cimport doom, enqueue
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_PICKED, event_push
from gateway_core.leaf.leavers cimport Leaver, leavers_add, leavers_drop, leavers_scanning
from gateway_core.leaf.stats cimport L_TOLD, N_GOAWAYS, R_MAX_AGE, R_SENT_AWAY, stat_add
from gateway_core.types cimport EASE_AGES, AgeWalk, Pick

LAYOUT = layout()

cdef enum:
    PICK_SLICE = 4096  # slots a tick
    LEAVERS_SLICE = 16384
    CLOSED_ROOM = 256  # in one turn: each gets a CLOSE of its own, ~10 us

cdef enum:  # why somebody was picked
    PICK_ASKED = 0
    PICK_AGE = 1


cdef void _told(Loop* loop, Conn* c) noexcept nogil:
    if not c.flags & F_TOLD:
        c.flags |= F_TOLD
        stat_add(&loop.stats, L_TOLD, 1)


cdef void _picked(Loop* loop, Conn* c, int why) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = session_user(s)
    strings[1] = session_device(s)
    sizes[0] = s.user_len
    sizes[1] = s.device_len
    if event_push(&loop.events, EV_PICKED, conn_id(&loop.table, c), 0, 0, why, (c.flags & F_WS) != 0, strings, sizes, 2) == 0:
        _told(loop, c)


# asked by Python -----------------------------------------------------------------------------------------------

cdef void pick_begin(Loop* loop, uint32_t most, uint32_t idle_s, uint64_t before) noexcept nogil:
    loop.pick.left = most
    loop.pick.idle_s = idle_s
    loop.pick.before = before
    loop.pick.looked = 0


cdef bint pick_busy(Loop* loop) noexcept nogil:
    return loop.pick.left != 0 or loop.pick.forgetting


cdef void _forget(Loop* loop) noexcept nogil:
    """The next slice of those who were told is as if it had not been."""
    cdef Pick* p = &loop.pick
    cdef Conn* c
    cdef uint32_t end = min(p.forget_at + <uint32_t>PICK_SLICE, loop.table.high)
    while p.forget_at < end:
        c = &loop.table.conns[p.forget_at]
        p.forget_at += 1
        if c.state == LIVE and c.flags & F_TOLD:
            c.flags &= <uint16_t>~<unsigned int>(F_TOLD | F_OVERDUE)
            stat_add(&loop.stats, L_TOLD, -1)
    if p.forget_at >= loop.table.high:
        p.forgetting = False


cdef bint _idle(Loop* loop, Conn* c, uint32_t idle_s) noexcept nogil:
    """It was granted its timeout when something was read last."""
    return loop.now_s + c.timeout_s >= loop.deadlines.at[slot_of(&loop.table, c)] + idle_s


cdef void pick_step(Loop* loop) noexcept nogil:
    cdef Pick* p = &loop.pick
    cdef Conn* c
    cdef uint32_t i
    if p.forgetting:
        _forget(loop)
        return
    for i in range(<uint32_t>PICK_SLICE):
        if p.left == 0 or loop.events.over_len:
            return
        if p.looked >= loop.table.high:
            p.left = 0
            event_push(&loop.events, EV_PICKED, id_in_loop(loop.index, 0), 0, 0, PICK_ASKED, 0, NULL, NULL, 0)
            return
        if p.at >= loop.table.high:
            p.at = 0
        c = &loop.table.conns[p.at]
        p.at += 1
        p.looked += 1
        if c.state == LIVE and not c.flags & F_TOLD and session_of(c).id < p.before and _idle(loop, c, p.idle_s):
            _picked(loop, c, PICK_ASKED)
            p.left -= 1
            p.looked = 0


cdef void stay_begin(Loop* loop) noexcept nogil:
    loop.pick.left = 0
    loop.pick.forgetting = True
    loop.pick.forget_at = 0
    loop.leavers.n = 0


# told ----------------------------------------------------------------------------------------------------------

cdef void send_away(Loop* loop, Conn* c, SharedBuf* goaway, uint32_t after_s, int code) noexcept nogil:
    _told(loop, c)
    stat_add(&loop.stats, N_GOAWAYS, 1)
    if after_s:
        leavers_add(&loop.leavers, conn_id(&loop.table, c), loop.now_s + after_s, code)
    enqueue(loop, c, goaway)


cdef void leavers_step(Loop* loop) noexcept nogil:
    """Closes those who had their time."""
    cdef uint32_t looked = 0, closed = 0
    cdef Leaver* one
    cdef Conn* c
    while leavers_scanning(&loop.leavers, loop.now_s) and looked < LEAVERS_SLICE and closed < CLOSED_ROOM:
        looked += 1
        one = &loop.leavers.of[loop.leavers.at]
        c = conn_find(&loop.table, one.conn)
        if c != NULL and not (c.state == LIVE and c.flags & F_TOLD):  # gone, or back on another connection
            c = NULL
        if c != NULL and one.due_s > loop.now_s:
            loop.leavers.at += 1
            continue
        if c != NULL:
            doom(loop, c, R_SENT_AWAY, one.code)
            closed += 1
        leavers_drop(&loop.leavers)


# age -----------------------------------------------------------------------------------------------------------

cdef void _of_age(Loop* loop, Conn* c) noexcept nogil:
    if c.flags & F_OVERDUE:
        doom(loop, c, R_MAX_AGE, CLOSE_MAX_AGE)
    elif c.flags & F_AGED and not c.flags & F_TOLD:
        c.flags |= F_OVERDUE
        _picked(loop, c, PICK_AGE)
    c.flags |= F_AGED


cdef void ages_step(Loop* loop) noexcept nogil:
    """Walks over all slots in half of the greatest age, evenly in time: the first pass marks, the second picks, the third
    closes who is still there.

    So nobody's age is stored, and a crowd that came at once leaves spread over half of the age.
    """
    cdef uint64_t period_ns = <uint64_t>loop.config.max_age_s * 500000000, gone
    cdef AgeWalk* walk = &loop.ages
    cdef uint32_t until, high = loop.table.high
    cdef Conn* c
    if period_ns == 0:
        return
    if walk.began_ns == 0:
        walk.began_ns = loop.now_ns
    if loop.easing & EASE_AGES:  # stands still where it is
        walk.began_ns = loop.now_ns - <uint64_t>(<double>period_ns * walk.at / high if high else 0)
        return
    gone = loop.now_ns - walk.began_ns
    until = high if gone >= period_ns else <uint32_t>(<double>high * <double>gone / <double>period_ns)
    while walk.at < until:
        c = &loop.table.conns[walk.at]
        walk.at += 1
        if c.state == LIVE:
            _of_age(loop, c)
    if gone >= period_ns:
        walk.at = 0
        walk.began_ns = loop.now_ns
