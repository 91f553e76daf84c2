"""Exact judgement of every delivery: distinct, lost, reordered, duplicated; and its latency."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from benchmarks.loadgen.types cimport Memo, Missing, Swarm

# One stamped text for client `id`, received at s.now. `memo` (or NULL) collects what was found.
# 1, or 0 when the text carries no stamp.
cdef int deliver(Swarm* s, uint32_t id, const uint8_t* text, size_t size, Memo* memo) noexcept nogil

# Judge the head of a chunk by notes of the same bytes. Returns how many bytes that was (0: nothing known); adds the
# number of frames that acknowledgements count to *counted unless NULL.
cdef size_t recall(Swarm* s, uint32_t id, const uint8_t* p, size_t n, uint32_t* counted) noexcept nogil

# The slot in which the next chunk is noted down; NULL when it is too long.
cdef Memo* note_begin(Swarm* s, size_t n) noexcept nogil
cdef void note_end(Swarm* s, Memo* memo, const uint8_t* p, size_t n) noexcept nogil

# Puts into the histogram what the notes have kept back: before it is read, and before the window changes.
cdef void settle_notes(Swarm* s) noexcept nogil

# One unit was read (a record; for peers what one recv gave): count it if it brought messages.
cdef void count_record(Swarm* s, uint32_t id, uint64_t arrived_before) noexcept nogil

cdef int open_missing(Missing* m, uint64_t capacity) except -1
