"""The slab: slot + generation -> connection. Pages are reserved once and touched as the table grows."""

from libc.stdint cimport uint32_t, uint64_t

from gateway_core.types cimport FREE, Conn, Loop

cdef int table_init(Loop* loop, uint32_t cap) noexcept nogil  # 0, or -1 without memory
cdef void table_free(Loop* loop) noexcept nogil
cdef Conn* conn_new(Loop* loop) noexcept nogil  # state FIRST, all else zero; NULL when full
cdef void conn_release(Loop* loop, Conn* c) noexcept nogil  # the generation moves on: old ids are dead


cdef inline void set_state(Loop* loop, Conn* c, int state) noexcept nogil:
    loop.by_state[c.state] -= 1
    loop.by_state[state] += 1
    c.state = <unsigned char>state


# NULL when the id's generation is over.
cdef inline Conn* conn_find(Loop* loop, uint64_t id) noexcept nogil:
    cdef uint32_t slot = <uint32_t>id
    cdef Conn* c
    if slot >= loop.high or <uint32_t>(id >> 56) != loop.index:
        return NULL
    c = &loop.conns[slot]
    if c.state == FREE or c.generation != <uint32_t>((id >> 32) & 0xFFFFFF):
        return NULL
    return c
