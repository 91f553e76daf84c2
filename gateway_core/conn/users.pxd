"""u/<user> is no Topic: an index of slots by user name (8 B a user), devices chained through their sessions."""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from gateway_core.types cimport Conn, Loop

cdef int users_init(Loop* loop) noexcept nogil  # 0 or -1
cdef void users_free(Loop* loop) noexcept nogil
cdef int user_add(Loop* loop, Conn* c) noexcept nogil  # 0 or -1
cdef void user_remove(Loop* loop, Conn* c) noexcept nogil
cdef uint32_t user_find(Loop* loop, uint64_t hash, const char* name, size_t n) noexcept nogil  # first slot or NONE32
# Whether this connection stands for its user (the first of the chain).
cdef bint user_first(Loop* loop, Conn* c) noexcept nogil
# EV_TOPIC for prefix + name; announce: only when topics are announced.
cdef void tell_topic(Loop* loop, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil
cdef void tell_session(Loop* loop, Conn* c) noexcept nogil  # EV_SESSION
cdef void announce_topic(Loop* loop, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil
