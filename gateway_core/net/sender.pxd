"""The seam between sealed bytes and the kernel: one send() each, or many sends in one system call (io_uring).

While `open`, what is written is staged and leaves when the stage is full or closed; each socket may stand in the stage
once. A stage opens and closes within one sweep or one flush, so nothing staged outlives the tick.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from gateway_core.includes.uring cimport qw_uring

cdef enum:
    SEND_AUTO = 0  # io_uring where the kernel lets us
    SEND_SEND = 1
    SEND_URING = 2

cdef enum:
    STAGE_SENDS = 64  # in one system call
    STAGE_BYTES = 1 << 20  # 64 flushes of 15 kB; only what is used becomes resident
    STAGE_FLUSH = 69632  # most bytes of one flush: 64 KiB of plaintext, its records' lengths and tags, a WebSocket header

cdef struct Staged:  # one sealed flush that waits
    void* owner  # the caller's
    const uint8_t* p
    uint32_t n
    int fd
    int result  # bytes taken or -errno

cdef struct Sender:
    qw_uring* ring  # NULL: every send is a system call of its own
    uint8_t* buffer
    size_t used
    uint32_t n
    bint open
    Staged at[STAGE_SENDS]

cdef void sender_start(Sender* s, int kind) noexcept nogil  # SEND_*; on the loop's own thread
cdef void sender_free(Sender* s) noexcept nogil
cdef void sender_stage(Sender* s, int fd, void* owner, const uint8_t* p, size_t n) noexcept nogil  # p lies in that space
cdef void sender_run(Sender* s) noexcept nogil  # fills `result` of all staged; the caller looks and empties the stage


cdef inline bint sender_full(Sender* s) noexcept nogil:
    """No space for another flush, or nobody may be added."""
    return s.n == STAGE_SENDS or s.used + STAGE_FLUSH > STAGE_BYTES


cdef inline uint8_t* sender_space(Sender* s) noexcept nogil:
    """STAGE_FLUSH bytes for the next flush."""
    return s.buffer + s.used


cdef inline void sender_empty(Sender* s) noexcept nogil:
    s.n = 0
    s.used = 0
