from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from cmodules cimport layout
from frame.names cimport USER_PREFIX_BYTES
from gateway_core.conn.table cimport session_device, session_user
from gateway_core.leaf.events cimport EVENT_STRINGS, EV_DROPPED, EV_SESSION, EV_TOPIC, event_push

LAYOUT = layout()


cdef void report_topic(Announcer* a, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil:
    cdef char text[USER_PREFIX_BYTES + TOPIC_MAX]
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    memcpy(text, prefix, m)
    memcpy(text + m, name, n)
    strings[0] = text
    sizes[0] = <uint32_t>(m + n)
    event_push(a.events, EV_TOPIC, 0, 0, 0, <int>a.loop, up, strings, sizes, 1)


cdef void announce_topic(Announcer* a, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil:
    if a.on:
        report_topic(a, prefix, m, name, n, up)


cdef void report_dropped(Announcer* a, const char* name, size_t n, const uint32_t* events) noexcept nogil:
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = name
    sizes[0] = <uint32_t>n
    event_push(a.events, EV_DROPPED, events[0], events[1], events[2], 0, 0, strings, sizes, 1)


cdef void report_session(Announcer* a, uint64_t conn, Session* s, const char* name, size_t n) noexcept nogil:
    cdef const void* strings[EVENT_STRINGS]
    cdef uint32_t sizes[EVENT_STRINGS]
    strings[0] = session_user(s)
    strings[1] = session_device(s)
    sizes[0] = s.user_len
    sizes[1] = s.device_len
    strings[2] = name
    sizes[2] = <uint32_t>n
    event_push(a.events, EV_SESSION, conn, s.id, 0, s.platform, 0, strings, sizes, 3)
