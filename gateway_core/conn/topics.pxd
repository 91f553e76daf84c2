"""Topics and their local members.

Members are dense slots while a topic is small and bitmap pages when it is large, so that a walk follows memory
order, join and leave are O(1), and a leaver never makes a sweep miss its neighbour.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from gateway_core.types cimport Conn, Loop, Session, Topic

cdef enum:
    J_JOINED = 1
    J_ALREADY = 0
    J_REFUSED = -1  # limit or memory

cdef int topics_init(Loop* loop) noexcept nogil
cdef void topics_free(Loop* loop) noexcept nogil

cdef Topic* topic_find(Loop* loop, uint64_t hash, const char* name, size_t n) noexcept nogil
cdef int topic_join(Loop* loop, Conn* c, const char* name, size_t n) noexcept nogil  # J_*
cdef void topic_leave(Loop* loop, Conn* c, const char* name, size_t n) noexcept nogil
cdef void topics_leave_all(Loop* loop, Conn* c) noexcept nogil
cdef uint32_t topic_next(Topic* t, uint32_t slot) noexcept nogil  # first member >= slot of a paged topic, or NONE32
cdef void topic_clear_pending(Loop* loop, Topic* t) noexcept nogil
cdef void batch_free(Loop* loop, Topic* t) noexcept nogil
cdef void topic_budget(Loop* loop, Topic* t) noexcept nogil  # applies the loop's budgets


cdef inline uint32_t* session_topics(Session* s) noexcept nogil:
    return <uint32_t*>(<char*>s + ((sizeof(Session) + s.user_len + s.device_len + 3) & ~<size_t>3))
