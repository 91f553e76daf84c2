"""Open-loop sending: what is due is due, whether or not the server keeps up."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from benchmarks.loadgen.types cimport Swarm

cdef struct Schedule:
    double interval_ns      # between two messages of this process; 0 = nothing to send
    uint64_t start, stop
    uint64_t hold_ns        # messages due are written together every hold_ns
    uint64_t next_write
    uint64_t index          # of the next message
    uint32_t first          # client id of sender 0
    uint32_t step           # ids between senders
    uint32_t senders
    uint32_t publisher      # publisher number of sender 0
    uint32_t* sequence      # [senders] last sequence, goes on from run to run
    const uint8_t* targets  # borrowed
    const uint32_t* target_at

# Write everything due by s.now, sender by sender; after the last message interval_ns becomes 0.
cdef void send_due(Swarm* s, Schedule* plan) noexcept nogil

# When the next message is to be written, ns.
cdef inline uint64_t next_due(Schedule* plan) noexcept nogil:
    return max(plan.start + <uint64_t>(<double>plan.index * plan.interval_ns), plan.next_write)
