"""One message to many members of this loop.

Small topics and users: a reference in every member's out queue, flushed when the tick ends. Large topics: messages
wait in the topic and leave in batches; a sweep walks the members in slot order, sealing the batch for each straight
from the shared plaintext. A sweep is resumable and gets a slice of every tick; what is published meanwhile makes
the next batch, so that the batch grows with the load. After a sweep of duration D the topic rests min(D, flush
delay) unless a batch is full: idle topics send at once, hot ones trade bounded delay for fewer writes.
"""

from libc.stdint cimport uint64_t

from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.types cimport Loop

# To this loop's members; the caller keeps its reference.
cdef void publish_local(Loop* loop, SharedBuf* b) noexcept nogil
# To the members on every loop.
cdef void publish_all(Loop* loop, SharedBuf* b) noexcept nogil
# Sweeps for at most the tick's budget.
cdef void fanout_work(Loop* loop) noexcept nogil
# Nanoseconds until there is something to sweep: 0 = now, all ones = nothing waits.
cdef uint64_t fanout_wait(Loop* loop) noexcept nogil
