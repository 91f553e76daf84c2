from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.sodium cimport sodium
from gateway_core.conn.states cimport E_OPENED, E_RELEASED
from gateway_core.includes.sys cimport qw_map, qw_map_huge, qw_unmap
from gateway_core.leaf.blocks cimport block_free, block_new, block_resize, blocks_free
from gateway_core.leaf.lists cimport NONE32
from gateway_core.leaf.stats cimport L_CONNECTIONS, L_PARKED, stat_add

LAYOUT = layout()

cdef enum:
    HUGE_FROM = 65536  # connections: below, whole huge pages would cost more than they save
    GENERATIONS = 0xFFFFFF


cdef int table_init(ConnTable* t, uint32_t loop, uint32_t cap, Stats* stats) noexcept nogil:
    memset(t, 0, sizeof(ConnTable))
    t.loop = loop
    t.cap = cap
    t.free_head = NONE32
    t.oldest = NONE32
    t.newest = NONE32
    t.parked_first = t.parked_last = NONE32
    t.stats = stats
    t.conns = <Conn*>qw_map(<size_t>cap * sizeof(Conn))
    if t.conns == NULL:
        return -1
    if cap >= HUGE_FROM:
        qw_map_huge(t.conns, <size_t>cap * sizeof(Conn))
    return 0


cdef void table_free(ConnTable* t) noexcept nogil:
    qw_unmap(t.conns, <size_t>t.cap * sizeof(Conn))
    t.conns = NULL
    blocks_free(&t.sessions)


cdef Conn* conn_new(ConnTable* t) noexcept nogil:
    cdef uint32_t slot, generation
    cdef Conn* c
    if t.free_head != NONE32:
        slot = t.free_head
        t.free_head = t.conns[slot].address_ref
    elif t.high < t.cap:
        slot = t.high
        t.high += 1
        t.conns[slot].generation = 1
        t.by_state[FREE] += 1
    else:
        return NULL
    c = &t.conns[slot]
    generation = c.generation
    memset(c, 0, sizeof(Conn))
    c.generation = generation
    c.fd = -1
    c.address_ref = NONE32
    conn_move(t, c, E_OPENED)
    t.live += 1
    stat_add(t.stats, L_CONNECTIONS, 1)
    return c


cdef void conn_release(ConnTable* t, Conn* c) noexcept nogil:
    cdef uint32_t generation = (c.generation + 1) & GENERATIONS
    conn_move(t, c, E_RELEASED)
    sodium.memzero(c, sizeof(Conn))  # which is state FREE
    # 0 is never a generation, so that no conn id is ever 0 (= "no connection")
    c.generation = generation if generation else 1
    c.address_ref = t.free_head
    t.free_head = slot_of(t, c)
    t.live -= 1
    stat_add(t.stats, L_CONNECTIONS, -1)


cdef Session* session_settle(ConnTable* t, const Session* passing) noexcept nogil:
    cdef size_t n = session_size(<Session*>passing)
    cdef Session* own = <Session*>block_new(&t.sessions, n)
    if own != NULL:
        memcpy(own, passing, n)
    return own


cdef Session* session_grow(ConnTable* t, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef size_t ids_at = <size_t>(<char*>session_topics(s) - <char*>s)
    s = <Session*>block_resize(&t.sessions, s, session_size(s), ids_at + (sizeof(uint32_t) << s.topics_log))
    if s != NULL:
        s.topics_log += 1
        c.held = s
    return s


cdef void session_free(ConnTable* t, Conn* c) noexcept nogil:
    block_free(&t.sessions, c.held, session_size(session_of(c)))
    c.held = NULL


cdef void preauth_enter(ConnTable* t, Conn* c) noexcept nogil:
    c.msgs_sent = t.newest
    (<PreAuth*>c.held).newer = NONE32
    if t.newest == NONE32:
        t.oldest = slot_of(t, c)
    else:
        (<PreAuth*>t.conns[t.newest].held).newer = slot_of(t, c)
    t.newest = slot_of(t, c)


cdef void preauth_leave(ConnTable* t, Conn* c) noexcept nogil:
    cdef uint32_t older = c.msgs_sent, newer = (<PreAuth*>c.held).newer
    if older == NONE32:
        t.oldest = newer
    else:
        (<PreAuth*>t.conns[older].held).newer = newer
    if newer == NONE32:
        t.newest = older
    else:
        t.conns[newer].msgs_sent = older
    c.msgs_sent = 0


cdef void parked_enter(ConnTable* t, Conn* c) noexcept nogil:
    c.tx.n = t.parked_last
    c.rx.n = NONE32
    if t.parked_last == NONE32:
        t.parked_first = slot_of(t, c)
    else:
        t.conns[t.parked_last].rx.n = slot_of(t, c)
    t.parked_last = slot_of(t, c)
    t.parked += 1
    stat_add(t.stats, L_PARKED, 1)


cdef void parked_leave(ConnTable* t, Conn* c) noexcept nogil:
    cdef uint32_t before = <uint32_t>c.tx.n, after = <uint32_t>c.rx.n
    if before == NONE32:
        t.parked_first = after
    else:
        t.conns[before].rx.n = after
    if after == NONE32:
        t.parked_last = before
    else:
        t.conns[after].tx.n = before
    c.tx.n = c.rx.n = 0
    t.parked -= 1
    stat_add(t.stats, L_PARKED, -1)
