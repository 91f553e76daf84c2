"""Events out of a loop: a ring bounded in events and in bytes, with one producer (the loop) and one
consumer (Python).

What does not fit waits in the loop's own list, and the loop reads no socket until that list is empty: nothing is
lost, and the list never holds more than one read can produce.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway_core.includes.atomics cimport qw_load64
from gateway_core.leaf.stats cimport Stats

cdef enum:
    EVENT_STRINGS = 5  # most strings of one event
    LINE_REST = 7  # words that keep the next one on another cache line

cpdef enum:  # EventKind; the numbers of the tuples that Python takes
    EV_AUTH = 1
    EV_SEND = 2
    EV_CALL = 3
    EV_CLOSED = 4
    EV_TOPIC = 5
    EV_SESSION = 6
    EV_DROPPED = 7
    EV_PICKED = 8
    EV_LOOKED = 9
    EV_TICKET = 10
    EV_PARKED = 11
    EV_RESUMED = 12
    EV_ELSEWHERE = 13
    EV_TAKEN = 14
    EV_REPORT = 15
    EV_SILENT = 16

cdef enum:  # of EV_TOPIC: what became of it
    TOPIC_ENDED = 0
    TOPIC_BEGAN = 1
    TOPIC_HELD = 2  # it was there when somebody asked what is

cdef enum:  # of EV_AUTH, bits
    ASKS_WEBSOCKET = 1
    ASKS_NO_TICKETS = 2  # it takes up no sessions

cdef struct EventCell:  # strings lie one after another in blob
    uint64_t conn
    uint64_t request
    uint8_t* blob
    uint32_t size[EVENT_STRINGS]
    uint32_t code
    uint8_t kind
    uint8_t a
    uint8_t b

cdef struct EventRing:
    EventCell* cells
    uint64_t mask
    uint64_t head  # Python
    uint64_t taken  # Python: bytes of the strings it took, since the start
    uint64_t pad[LINE_REST]
    uint64_t tail  # the loop
    uint64_t put  # the loop: bytes of the strings in the cells, since the start
    uint64_t most  # bytes that may wait in the cells; one event always may
    EventCell* over  # what did not fit; reading stops until it does
    uint32_t over_len
    uint32_t over_at
    uint32_t over_cap
    Stats* stats  # of the producer

cdef struct EventBell:  # one for all rings: an eventfd, rung once until Python has looked
    int fd
    uint32_t rung

# cells: power of two; most: bytes of strings in them. 0 or -1.
cdef int events_init(EventRing* r, uint32_t cells, uint64_t most, Stats* stats) noexcept nogil
cdef void events_free(EventRing* r) noexcept nogil
# Copies the strings; 0, or -1 without memory.
cdef int event_push(EventRing* r, int kind, uint64_t conn, uint64_t request, uint32_t code, int a, int b,
                    const void** strings, const uint32_t* sizes, int n) noexcept nogil
cdef bint events_settle(EventRing* r) noexcept nogil  # moves waiting ones into the ring; 1 when none is left
cdef int event_pop(EventRing* r, EventCell* out) noexcept nogil  # consumer; the blob passes to the caller
cdef double events_fill(EventRing* r) noexcept nogil  # share of its cells or bytes in use, about; any thread
cdef void bell_ring(EventBell* bell) noexcept nogil  # any thread
cdef void bell_quiet(EventBell* bell) noexcept nogil  # consumer, before it looks


cdef inline bint events_waiting(EventRing* r) noexcept nogil:
    return qw_load64(&r.tail) != qw_load64(&r.head)
