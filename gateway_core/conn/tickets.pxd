"""Tickets: given to a session, taken from a first flight.

A session whose token has an end gets a ticket at login, at each resume, and again with a PING when half of the last
one's life is over. The n-th use of a ticket kills those before it, not those after: the client may have lost them.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from crypto.ticket cimport Ticket
from gateway_core.conn.table cimport Claim, Conn, Session
from gateway_core.types cimport Loop

cdef enum:
    UNTIL_S = 128  # a session keeps the end of its token in units of that: two bytes reach 97 days from the start

cdef uint32_t wall_s() noexcept nogil  # the wall clock, in seconds
# Seconds of the wall clock -> Session.until, rounded down, and back; `start_s`: when the engine began.
cdef uint16_t until_of(uint32_t start_s, uint32_t end_s) noexcept nogil
cdef uint32_t until_s(Loop* loop, const Session* s) noexcept nogil
cdef void ticket_give(Loop* loop, Conn* c) noexcept nogil  # nothing happens where there is no key, or its token is over
cdef void ticket_renew(Loop* loop, Conn* c) noexcept nogil  # gives one when it is time
# 0, or -1: nobody here can open it, or it is over.
cdef int ticket_take(Loop* loop, const uint8_t* p, size_t n, Ticket* out) noexcept nogil
# What of it is kept until the peer is LIVE, behind its PreAuth. 0, or -1 without memory.
cdef int claim_keep(Loop* loop, Conn* c, const Ticket* t) noexcept nogil
cdef void claim_drop(Conn* c) noexcept nogil  # wiped: the ticket is worth nothing here any more
cdef bint claim_proven(const Claim* k, const uint8_t* hash, const uint8_t* binding, size_t n) noexcept nogil
