from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from gateway_core.conn.states cimport E_ENDED, E_GREETED
from gateway_core.conn.table cimport (
    F_ADMITTED,
    F_PROXIED,
    F_WS,
    IS_HANDED,
    PreAuth,
    conn_move,
    conn_new,
    loop_of_id,
    poll_id,
    preauth_enter,
)
from gateway_core.conn.transport cimport doom_quiet
from gateway_core.includes.sys cimport close
from gateway_core.leaf.address_table cimport address_leave
from gateway_core.leaf.lists cimport NONE32
from gateway_core.leaf.mailbox cimport CMD_HANDED, Cmd, mail_push
from gateway_core.leaf.stats cimport (
    L_IN_BUFFERS,
    L_IN_BYTES,
    L_PREAUTH,
    L_WS_STATES,
    N_HANDED_OVER,
    N_REFUSED_FULL,
    R_MEMORY,
    R_REPLACED,
    Stats,
    stat_add,
)
from gateway_core.net.in_buffer cimport IN_EXACT, in_drop, in_replace
from gateway_core.net.poller cimport poller_add, poller_forget
from gateway_core.types cimport touch

LAYOUT = layout()


cdef void _count(Stats* stats, const InBuf* b, int sign) noexcept nogil:
    stat_add(stats, L_IN_BUFFERS, sign)
    stat_add(stats, L_IN_BYTES, sign * <long>b.cap)
    stat_add(stats, L_WS_STATES, sign)


cdef bint hand_over(Loop* loop, Conn* c, const Ticket* t, const uint8_t* p, size_t n) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>c.held
    cdef uint32_t target = loop_of_id(t.conn)
    cdef Handed* h
    cdef Cmd cmd
    if pre.is_ & IS_HANDED or t.node != loop.node_id or t.epoch != loop.engine.epoch:
        return False
    if target == loop.index or target >= loop.engine.n_loops:
        return False
    h = <Handed*>malloc(sizeof(Handed) + n)
    if h == NULL or (c.flags & F_WS and in_replace(&c.in_buf, &loop.stats, NULL, 0, 0, IN_EXACT) < 0):
        free(h)
        return False
    h.engine = loop.engine
    h.in_buf = c.in_buf if c.flags & F_WS else NULL
    h.fd = c.fd
    h.address_ref = c.address_ref
    h.n = <uint32_t>n
    h.flags = c.flags & (F_WS | F_PROXIED | F_ADMITTED)
    h.port = pre.port
    memcpy(h.ip, pre.ip, sizeof(h.ip))
    h.is_ = pre.is_ | IS_HANDED
    memcpy(<uint8_t*>h + sizeof(Handed), p, n)
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = CMD_HANDED
    cmd.ptr = h
    poller_forget(&loop.poller, c.fd)
    if h.in_buf != NULL:
        _count(&loop.stats, h.in_buf, -1)
    if not mail_push(&loop.engine.loops[target].mail, &cmd):
        if h.in_buf != NULL:
            _count(&loop.stats, h.in_buf, 1)
        free(h)
        if poller_add(&loop.poller, c.fd, poll_id(&loop.table, c)) < 0:
            doom_quiet(loop, c, R_MEMORY, 0)
        return False
    stat_add(&loop.stats, N_HANDED_OVER, 1)
    c.fd = -1
    c.address_ref = NONE32
    if c.flags & F_WS:
        c.in_buf = NULL
    c.flags &= <uint16_t>~<unsigned int>F_WS
    in_drop(&c.in_buf, &loop.stats)
    conn_move(&loop.table, c, E_ENDED)
    doom_quiet(loop, c, R_REPLACED, 0)
    return True


cdef Conn* handed_open(Loop* loop, Handed* h) noexcept nogil:
    cdef PreAuth* pre = <PreAuth*>calloc(1, sizeof(PreAuth))
    cdef Conn* c = conn_new(&loop.table) if pre != NULL else NULL
    if c == NULL:
        stat_add(&loop.stats, N_REFUSED_FULL, 1)
        free(pre)
        free(h.in_buf)
        close(h.fd)
        address_leave(&loop.engine.addresses, h.address_ref)
        return NULL
    c.fd = h.fd
    c.held = pre
    c.flags = h.flags
    c.in_buf = h.in_buf
    c.address_ref = h.address_ref
    if c.in_buf != NULL:
        _count(&loop.stats, c.in_buf, 1)
    preauth_enter(&loop.table, c)
    stat_add(&loop.stats, L_PREAUTH, 1)
    memcpy(pre.ip, h.ip, sizeof(pre.ip))
    pre.port = h.port
    pre.is_ = h.is_
    c.timeout_s = <uint16_t>loop.config.auth_timeout_s
    conn_move(&loop.table, c, E_GREETED)
    touch(loop, c)
    if poller_add(&loop.poller, c.fd, poll_id(&loop.table, c)) < 0:
        doom_quiet(loop, c, R_MEMORY, 0)
        return NULL
    return c


cdef void handed_drop(Handed* h) noexcept nogil:
    close(h.fd)
    address_leave(&h.engine.addresses, h.address_ref)
    free(h.in_buf)
    free(h)
