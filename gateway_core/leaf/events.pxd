"""Events out of a loop: a bounded ring with one producer (the loop) and one consumer (Python).

What does not fit waits in the loop's own list, and the loop reads no socket until that list is empty: nothing is
lost, and the list never holds more than one read can produce.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway_core.types cimport EventCell, EventRing, Loop

cdef int events_init(EventRing* r, uint32_t cells) noexcept nogil
cdef void events_free(EventRing* r) noexcept nogil
# Copies the strings; 0, or -1 without memory.
cdef int event_push(Loop* loop, int kind, uint64_t conn, uint64_t request, uint32_t code, int a, int b,
                    const void** strings, const uint32_t* sizes, int n) noexcept nogil
cdef bint events_settle(Loop* loop) noexcept nogil  # moves waiting ones into the ring; 1 when none is left
cdef void events_notify(Loop* loop) noexcept nogil  # tells Python, once until it has looked
cdef int event_pop(EventRing* r, EventCell* out) noexcept nogil  # consumer; the blob passes to the caller
cdef bint events_waiting(EventRing* r) noexcept nogil
