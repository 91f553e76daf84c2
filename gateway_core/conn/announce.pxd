"""Events about who is here: topics (EV_TOPIC) and sessions (EV_SESSION); and about what they missed (EV_DROPPED)."""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from gateway_core.conn.table cimport Session
from gateway_core.leaf.events cimport EventRing

cdef enum:
    TOPIC_MAX = 80  # bytes of a topic name; user and device names are within NAME_MAX

cdef struct Announcer:
    EventRing* events
    uint32_t loop
    bint on  # the first member of a topic and the last one that leaves are told unasked

# EV_TOPIC for prefix + name: up = 1 members, 0 none.
cdef void report_topic(Announcer* a, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil
cdef void announce_topic(Announcer* a, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil  # if on
# EV_DROPPED: as many normal, high and notice events.
cdef void report_dropped(Announcer* a, const char* name, size_t n, const uint32_t* events) noexcept nogil
# EV_SESSION: of the session itself (n = 0), or of a room it is in.
cdef void report_session(Announcer* a, uint64_t conn, Session* s, const char* name, size_t n) noexcept nogil
