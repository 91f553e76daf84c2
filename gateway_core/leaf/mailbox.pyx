from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from cmodules cimport layout
from gateway_core.includes.atomics cimport qw_cas64, qw_fence, qw_load32, qw_load64, qw_store64, qw_swap32
from gateway_core.includes.sys cimport close, qw_eventfd, qw_signal_fd

LAYOUT = layout()


cdef void mail_blank(Mailbox* m) noexcept nogil:
    memset(m, 0, sizeof(Mailbox))
    m.wake_fd = -1


cdef int mail_init(Mailbox* m, uint32_t cells) noexcept nogil:
    cdef uint32_t i
    mail_blank(m)
    m.wake_fd = qw_eventfd()
    m.cells = <Cmd*>calloc(cells, sizeof(Cmd))
    if m.wake_fd < 0 or m.cells == NULL:
        return -1
    for i in range(cells):
        m.cells[i].seq = i
    m.mask = cells - 1
    return 0


cdef void mail_free(Mailbox* m) noexcept nogil:
    free(m.cells)
    m.cells = NULL
    if m.wake_fd >= 0:
        close(m.wake_fd)
    m.wake_fd = -1


cdef int mail_put(Mailbox* m, const Cmd* cmd) noexcept nogil:
    cdef uint64_t at = qw_load64(&m.tail), seq
    cdef Cmd* cell
    while True:
        cell = &m.cells[at & m.mask]
        seq = qw_load64(&cell.seq)
        if seq == at:
            if qw_cas64(&m.tail, at, at + 1):
                break
            at = qw_load64(&m.tail)
        elif seq < at:
            return 0
        else:
            at = qw_load64(&m.tail)
    cell.conn = cmd.conn
    cell.ptr = cmd.ptr
    cell.x = cmd.x
    cell.code = cmd.code
    cell.kind = cmd.kind
    cell.a = cmd.a
    cell.b = cmd.b
    qw_store64(&cell.seq, at + 1)
    return 1


cdef void mail_wake(Mailbox* m) noexcept nogil:
    qw_fence()
    if qw_load32(&m.sleeping) and qw_swap32(&m.sleeping, 0):
        qw_signal_fd(m.wake_fd)


cdef int mail_push(Mailbox* m, const Cmd* cmd) noexcept nogil:
    if not mail_put(m, cmd):
        return 0
    mail_wake(m)
    return 1


cdef int mail_pop(Mailbox* m, Cmd* out) noexcept nogil:
    cdef Cmd* cell = &m.cells[m.head & m.mask]
    if qw_load64(&cell.seq) != m.head + 1:
        return 0
    out[0] = cell[0]
    qw_store64(&cell.seq, m.head + m.mask + 1)
    m.head += 1
    return 1


cdef bint mail_waiting(Mailbox* m) noexcept nogil:
    return qw_load64(&m.cells[m.head & m.mask].seq) == m.head + 1


cdef double mail_fill(Mailbox* m) noexcept nogil:
    cdef uint64_t head = qw_load64(&m.head), tail = qw_load64(&m.tail)
    return <double>(tail - min(head, tail)) / <double>(m.mask + 1)


cdef bint mail_may_sleep(Mailbox* m) noexcept nogil:
    qw_swap32(&m.sleeping, 1)
    qw_fence()
    if mail_waiting(m):
        qw_swap32(&m.sleeping, 0)
        return False
    return True


cdef void mail_awake(Mailbox* m) noexcept nogil:
    qw_swap32(&m.sleeping, 0)
