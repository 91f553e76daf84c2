"""Birth, login and end of a connection.

conn.states has the table of its life. CLOSING and LINGER last 5 s in all, LINGER 2 s.

Only this module frees connections, and only from commands, the scan and the reaping at the tick's end.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t

from gateway_core.conn.table cimport Conn, Session
from gateway_core.leaf.admission cimport Wait
from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.types cimport Loop

cdef void conn_open(Loop* loop, int fd, const uint8_t* ip16, uint16_t port) noexcept nogil  # takes the fd
cdef bint conn_admit(Loop* loop, Conn* c) noexcept nogil  # per-address limits; 0: doomed
# Before any cryptography, once: may a Visitor come in now? 0: *wait is what it is told.
cdef bint conn_let_in(Loop* loop, Conn* c, int visitor, Wait* wait) noexcept nogil
# No slot (`slots`) or no descriptor is left: the oldest who have not logged in end with this tick, or, where they are more
# and hold what is missing, sessions that have waited longest for their client. 0: there is nobody.
cdef bint make_room(Loop* loop, bint slots) noexcept nogil
cdef void preauth_drop(Loop* loop, Conn* c) noexcept nogil  # wiped: Python has been told, or never will be

# The session (malloc'ed) and the reference pass to the connection. Emits CLOSED when it is gone already. `resumed`: it
# stands in for a session of another node, of which the client has seen so many MSGs, and `first` is RESUME_OK.
cdef void login(Loop* loop, Conn* c, Session* s, SharedBuf* first, unsigned long long id, bint resumed, unsigned int seen) noexcept nogil
# How long the server waits for who pings so often: 1.5 x that, and the grace.
cdef unsigned short interval_timeout(Loop* loop, unsigned long long interval_s) noexcept nogil
cdef void set_interval(Loop* loop, Conn* c, unsigned long long interval_s) noexcept nogil

# Ends a session that is here, LIVE or PARKED, or a login.
cdef void close_with(Loop* loop, Conn* c, int reason, int code, const uint8_t* text, size_t n) noexcept nogil
cdef void finish(Loop* loop, Conn* c) noexcept nogil  # CLOSING: shut down once everything has left
cdef void reap(Loop* loop) noexcept nogil
cdef void expire(Loop* loop, Conn* c) noexcept nogil  # its deadline is over
cdef void release_all(Loop* loop) noexcept nogil
