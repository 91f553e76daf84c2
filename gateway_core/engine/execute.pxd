"""What the mailbox may ask of a loop. NameBlobs are malloc'ed by engine.submit and belong to the loop then."""

from libc.stdint cimport uint16_t, uint64_t

from gateway_core.leaf.mailbox cimport Cmd
from gateway_core.types cimport Loop

cdef struct NameBlob:  # JOIN (b: its own ClassRates or nothing), LEAVE, KICK, REFUSE: sizes, then the strings
    uint64_t before
    uint16_t a_len
    uint16_t b_len
    uint16_t c_len

cdef void commands_run(Loop* loop) noexcept nogil  # drains the mailbox up to its budget
cdef void command_drop(Cmd* cmd) noexcept nogil  # frees what an unexecuted command owns
cdef void drain_step(Loop* loop) noexcept nogil  # GOAWAY to those whose turn has come
cdef void resync_step(Loop* loop) noexcept nogil  # the next slice of all topics
