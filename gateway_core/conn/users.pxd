"""u/<user> is no Topic: an index of slots by user name (8 B a user), devices chained through their sessions."""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from gateway_core.conn.announce cimport Announcer
from gateway_core.conn.table cimport Conn, ConnTable, Session

cdef struct UserIndex:  # open addressing: tag << 24 | slot + 1; grows by moving a few entries per change
    uint32_t* at
    uint32_t cap
    uint32_t used  # with tombstones
    uint32_t live
    uint32_t* old
    uint32_t old_cap
    uint32_t moved
    ConnTable* table
    Announcer* announcer
    uint64_t seed

cdef int users_init(UserIndex* u, ConnTable* table, Announcer* announcer, uint64_t seed) noexcept nogil  # 0 or -1
cdef void users_free(UserIndex* u) noexcept nogil
cdef int user_add(UserIndex* u, Conn* c) noexcept nogil  # 0 or -1
cdef void user_remove(UserIndex* u, Conn* c) noexcept nogil
# The login came too late. Who gave it has told others of the user: they hear of the end, if nobody of them is here.
cdef void user_missed(UserIndex* u, Session* s) noexcept nogil
cdef uint32_t user_find(UserIndex* u, uint64_t hash, const char* name, size_t n) noexcept nogil  # first slot or NONE32
