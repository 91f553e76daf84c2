from libc.stdint cimport uint32_t
from libc.string cimport memset

from crypto.sodium cimport sodium
from gateway_core.includes.sys cimport qw_map, qw_map_huge, qw_unmap
from gateway_core.leaf.stats cimport L_CONNECTIONS, stat_add
from gateway_core.types cimport FIRST, FREE, NONE32, Conn, Loop, layout_mark

LAYOUT = layout_mark()

cdef enum:
    HUGE_FROM = 65536  # connections: below, whole huge pages would cost more than they save


cdef int table_init(Loop* loop, uint32_t cap) noexcept nogil:
    loop.conns = <Conn*>qw_map(<size_t>cap * sizeof(Conn))
    loop.deadlines = <uint32_t*>qw_map(<size_t>cap * sizeof(uint32_t))
    if loop.conns == NULL or loop.deadlines == NULL:
        return -1
    if cap >= HUGE_FROM:
        qw_map_huge(loop.conns, <size_t>cap * sizeof(Conn))
    loop.cap = cap
    loop.high = 0
    loop.free_head = NONE32
    return 0


cdef void table_free(Loop* loop) noexcept nogil:
    qw_unmap(loop.conns, <size_t>loop.cap * sizeof(Conn))
    qw_unmap(loop.deadlines, <size_t>loop.cap * sizeof(uint32_t))
    loop.conns = NULL
    loop.deadlines = NULL


cdef Conn* conn_new(Loop* loop) noexcept nogil:
    cdef uint32_t slot, generation
    cdef Conn* c
    if loop.free_head != NONE32:
        slot = loop.free_head
        loop.free_head = loop.conns[slot].ip_ref
    elif loop.high < loop.cap:
        slot = loop.high
        loop.high += 1
        loop.conns[slot].generation = 1
    else:
        return NULL
    c = &loop.conns[slot]
    generation = c.generation
    memset(c, 0, sizeof(Conn))
    c.generation = generation
    c.fd = -1
    c.ip_ref = NONE32
    c.state = FIRST
    loop.by_state[FIRST] += 1
    loop.live += 1
    stat_add(loop, L_CONNECTIONS, 1)
    return c


cdef void conn_release(Loop* loop, Conn* c) noexcept nogil:
    cdef uint32_t slot = <uint32_t>(c - loop.conns)
    cdef uint32_t generation = (c.generation + 1) & 0xFFFFFF
    loop.by_state[c.state] -= 1
    sodium.memzero(c, sizeof(Conn))
    # 0 is never a generation, so that no conn id is ever 0 (= "no connection")
    c.generation = generation if generation else 1
    c.state = FREE
    c.ip_ref = loop.free_head
    loop.free_head = slot
    loop.deadlines[slot] = 0
    loop.live -= 1
    stat_add(loop, L_CONNECTIONS, -1)
