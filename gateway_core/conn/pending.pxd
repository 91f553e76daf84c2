"""What a topic lets through, what waits for a batch of a large one, oldest first, and the batch a sweep delivers."""

from libc.stdint cimport uint64_t

from crypto.zstd cimport Dictionary
from gateway_core.conn.joining cimport Cuts
from gateway_core.conn.topics cimport Batch, Topic, TopicTable
from gateway_core.leaf.shared_buf cimport SharedBuf
from gateway_core.leaf.stats cimport Stats

# 0: dropped. What is dropped here counts once for all loops, and is told with its room (topics_tell).
cdef bint within_budget(TopicTable* topics, Topic* t, SharedBuf* b, uint64_t now_ns) noexcept nogil
cdef void topics_tell(TopicTable* topics, uint64_t now_ns) noexcept nogil  # EV_DROPPED for what is owed, when it is time
cdef uint64_t topics_tell_wait(TopicTable* topics, uint64_t now_ns) noexcept nogil  # ns until then; all ones: nothing is owed
# Takes a reference of its own. Above limits.pending, notices, normal and then high events are dropped oldest first; when only
# MUST messages wait the topics are stalled: commands wait until a sweep has made room.
cdef void pend(TopicTable* topics, Topic* t, SharedBuf* b) noexcept nogil
cdef void pending_served(Topic* t) noexcept nogil  # lets go of what every stripe has got
cdef bint batch_start(TopicTable* topics, Topic* t) noexcept nogil  # t.sweep: what t.stripe lacks, if it fits; 0: none
# For F_ZSTD members, by the dictionary for those who hold it (else NULL), with where its records end.
cdef SharedBuf* batch_packed(Stats* stats, Batch* batch, void* compressor, const Dictionary* d, Cuts** cuts) noexcept nogil
