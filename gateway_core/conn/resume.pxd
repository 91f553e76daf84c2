"""A session taken up again: from a first flight with a ticket to the session's slot with another socket.

    first flight      the ticket opens, the handshake is done        resume_begin: RESUME_FAIL, or RESUME_OK and what was
                      on the loop that keeps the session             missed behind message 2 where the flight is fresh and new
    first record      proves that it is no repetition                resume_take: only now anything changes
    the slots swap    socket, keys and buffers go to the session's   the older connection gets CLOSE 4003 in the other slot

A ticket names connection, session and epoch, and its user and device are compared: a slot that somebody else has now is no
session of it. Of another node's session Python is told (EV_ELSEWHERE), and answers by login or resume_deny.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway_core.conn.table cimport Conn
from gateway_core.types cimport Loop

cdef struct ClaimFacts:  # of EV_TICKET and EV_ELSEWHERE
    uint64_t session
    uint64_t epoch
    uint64_t conn
    uint32_t rev
    uint32_t until_s
    uint32_t issued_s
    uint32_t seen
    uint16_t node
    uint8_t platform
    uint8_t websocket

cdef struct TakeAsk:  # for another node
    uint64_t session
    uint64_t epoch
    uint64_t seen
    uint64_t token

# RESUMING: sends message 2, `answer`, and what may follow it at once. `age_ms`: of the ticket, as the client says, NO_AGE: it
# does not; `message`: its message 1, which names the flight.
cdef void resume_begin(Loop* loop, Conn* c, const uint8_t* answer, size_t n, uint64_t age_ms, const uint8_t* message,
                       size_t m) noexcept nogil
# Its first record was opened. The session's connection, which has that record's rest now; NULL: the record meant nothing.
cdef Conn* resume_take(Loop* loop, Conn* c) noexcept nogil
# RESUME_FAIL; it may log in.
cdef void resume_deny(Loop* loop, Conn* c, int reason, const uint8_t* text, size_t n) noexcept nogil
# Python's answer to EV_ELSEWHERE; c may be NULL.
cdef void resume_refused(Loop* loop, Conn* c, int reason, const uint8_t* text, size_t n) noexcept nogil
# Gives the session away (EV_TAKEN), and ends it here.
cdef void session_take(Loop* loop, uint64_t conn, const TakeAsk* ask) noexcept nogil
# EV_TICKET or EV_ELSEWHERE of one who holds a claim. 0, or -1 without memory.
cdef int claim_event(Loop* loop, Conn* c, int kind) noexcept nogil

cdef uint64_t NO_AGE
