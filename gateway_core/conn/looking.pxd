"""Looking at connections: an operator's search, answered from the slab in slices. Nothing is kept for it.

    look_begin   Python asked; the question is the loop's from then on   one at a time: a second stands in for the first
    look_step    the next slots                                          EV_LOOKED for each that fits
    the end      most were found, or enough slots were looked at         EV_LOOKED without a user, with the slot to go on at
                                                                         and the topic's members at this loop

Members of a topic are found by its own list of them, however many others there are.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway_core.includes.sys cimport IP_BYTES
from gateway_core.types cimport LookFor, Loop

cdef enum:
    LOOKED_PARKED = 8  # among the flags, in the place of F_DIRTY: it has no connection

cdef struct Looked:  # what is told of one, beside its names; Python reads it as "<QIIIIHHHBB16sQQII"
    uint64_t session
    uint32_t queued_bytes  # plaintext that waits
    uint32_t tail_bytes  # sealed, and the socket did not take it
    uint32_t idle_s  # since something was read
    uint32_t msgs_sent
    uint16_t timeout_s  # that it was granted
    uint16_t joined  # topics
    uint16_t flags
    uint8_t suite
    uint8_t platform
    uint8_t ip[IP_BYTES]  # zero: no limit of addresses is set, so none is kept
    # asked of the kernel when somebody looks: no connection carries it
    uint64_t bytes_received
    uint64_t bytes_acked  # of those that were sent
    uint32_t rtt_us  # smoothed
    uint32_t resent  # segments

cdef void look_begin(Loop* loop, LookFor* asked) noexcept nogil  # takes it over
cdef void look_step(Loop* loop) noexcept nogil
cdef void look_free(Loop* loop) noexcept nogil
