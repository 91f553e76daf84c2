"""The seam between sealed bytes and the kernel: one send() each, or many sends in one system call (io_uring).

While `loop.stage.open`, what is written is staged and leaves when the stage is full or closed; each connection may
stand in the stage once. A stage opens and closes within one sweep or one flush, so nothing staged outlives the tick.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from gateway_core.types cimport Conn, Loop

cdef enum:
    SEND_AUTO = 0  # io_uring where the kernel lets us
    SEND_SEND = 1
    SEND_URING = 2

cdef void sender_start(Loop* loop) noexcept nogil  # on the loop's own thread; without io_uring it is send()
cdef void sender_free(Loop* loop) noexcept nogil
cdef bint sender_full(Loop* loop) noexcept nogil  # no room for another flush, or nobody may be added
cdef uint8_t* sender_room(Loop* loop) noexcept nogil  # STAGE_FLUSH bytes for the next flush
cdef void sender_stage(Loop* loop, Conn* c, const uint8_t* p, size_t n) noexcept nogil  # p lies in that room
cdef void sender_run(Loop* loop) noexcept nogil  # fills result of all staged; the caller looks and empties the stage
