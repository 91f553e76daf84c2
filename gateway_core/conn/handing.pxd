"""A socket whose session is another loop's goes there, with its first flight, before any key exchange.

    hand_over     loop A: out of its poller, into B's mailbox        the slot at A ends with the tick
    handed_open   loop B: a slot for it, as accept makes one         its limits were judged at A and hold on
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from crypto.ticket cimport Ticket
from gateway_core.conn.table cimport Conn
from gateway_core.includes.sys cimport IP_BYTES
from gateway_core.net.in_buffer cimport InBuf
from gateway_core.types cimport Engine, Loop

cdef struct Handed:  # malloc'ed; the flight follows
    Engine* engine
    InBuf* in_buf  # of a WebSocket: its place in the frames
    int fd
    uint32_t address_ref
    uint32_t n  # bytes of the flight
    uint16_t flags
    uint16_t port
    uint8_t ip[IP_BYTES]
    uint8_t is_

# 1: c has nothing any more. 0: it stays, here is the place for it.
cdef bint hand_over(Loop* loop, Conn* c, const Ticket* t, const uint8_t* p, size_t n) noexcept nogil
cdef Conn* handed_open(Loop* loop, Handed* h) noexcept nogil  # NULL: no room, all is let go but h
cdef void handed_drop(Handed* h) noexcept nogil  # of one that nobody takes: all of it


cdef inline const uint8_t* handed_flight(const Handed* h) noexcept nogil:
    return <const uint8_t*>h + sizeof(Handed)
