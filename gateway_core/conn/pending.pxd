"""Messages of a large topic waiting for their batch, oldest first, and the batch a sweep delivers."""

from gateway_core.types cimport Batch, Loop, SharedBuf, Topic

cdef bint within_budget(Loop* loop, Topic* t, SharedBuf* b) noexcept nogil  # class rates; 0: dropped and counted
# Takes a reference of its own. Above topic_pending, normal and then high events are dropped oldest first; when only
# MUST messages wait the loop is stalled: commands wait until a sweep has made room.
cdef void pend(Loop* loop, Topic* t, SharedBuf* b) noexcept nogil
cdef void pending_served(Topic* t) noexcept nogil  # lets go of what every stripe has got
cdef bint batch_start(Loop* loop, Topic* t) noexcept nogil  # t.sweep: what t.stripe lacks, as far as it fits; 0: none
cdef SharedBuf* batch_packed(Loop* loop, Batch* batch) noexcept nogil  # for members that take compressed bodies
