"""The life of a connection: states x events. The table and its rules stand at the head of states.pyx."""

from libc.stdint cimport uint8_t, uint16_t

cdef enum:  # states
    FREE = 0
    FIRST = 1  # first bytes decide: PROXY, GET or QW
    HELLO = 2  # preamble and message 1 expected (WebSocket upgraded, or PROXY header read)
    WAITING = 3  # message 1 complete, in the handshake queue
    SECURED = 4  # AUTH expected
    ASKED = 5  # AUTH, or a session that is at another node, lies with Python
    LIVE = 6
    CLOSING = 7  # what is queued leaves, then shutdown
    LINGER = 8  # shut down for writing, waiting for the peer's end
    DOOMED = 9  # judged during this tick, reaped at its end
    RESUMING = 10  # the first record behind a handshake with a ticket expected
    PARKED = 11  # a session without a connection: no socket, no keys
    STATES = 12

cdef enum:  # events
    E_OPENED
    E_GREETED  # the carrier is known: QW1 follows
    E_QUEUED  # the handshake waits for its turn
    E_KEYED  # the handshake is done
    E_CLAIMED  # ... and a session is asked for
    E_DENIED  # it cannot be had
    E_ASKED  # AUTH became an event
    E_LOGIN
    E_PARKED  # the connection was lost
    E_RESUMED  # there is another
    E_ENDED  # the last words are queued
    E_SENT  # they have left
    E_JUDGED
    E_PARDONED  # judged, but its last words are queued and may leave
    E_RELEASED
    LIFE_EVENTS

cdef enum:  # sets of states, see state_in
    KEYLESS = 1 << FIRST | 1 << HELLO | 1 << WAITING  # no record can be read or written yet
    KEYED = 1 << SECURED | 1 << ASKED | 1 << LIVE | 1 << RESUMING  # records flow: the end is told with a CLOSE frame
    HELD = 1 << LIVE | 1 << PARKED  # a session is here
    BEFORE_LOGIN = 1 << FIRST | 1 << HELLO | 1 << WAITING | 1 << SECURED | 1 << ASKED | 1 << RESUMING  # costs 1 KiB at most
    ENDING = 1 << CLOSING | 1 << LINGER
    DEAF = 1 << CLOSING | 1 << LINGER | 1 << DOOMED  # what still comes is thrown away

cdef enum:
    NO_MOVE = 0xFF

cdef struct Expiry:  # what its deadline means
    uint8_t reason
    uint16_t code

cdef uint8_t next_state[STATES][LIFE_EVENTS]  # or NO_MOVE
cdef Expiry expiry[STATES]


cdef inline bint state_in(int state, int states) noexcept nogil:
    return (states >> state) & 1
