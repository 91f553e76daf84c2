"""The rate of a session's frames: tokens that come back with time."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef struct Bucket:  # four bytes, of a session
    uint16_t tokens
    uint16_t filled  # when tokens were last added, 1/15 s

cdef struct BucketRate:
    uint32_t per_s  # 0 = no limit
    uint32_t burst  # at most 65535

# From now on: `most` tokens, the burst at most.
cdef void bucket_fill(Bucket* b, const BucketRate* rate, uint64_t now_ns, uint32_t most) noexcept nogil
# Takes `frames` tokens; 0 when more was spent than rate and burst allow.
cdef bint bucket_take(Bucket* b, const BucketRate* rate, uint64_t now_ns, uint32_t frames) noexcept nogil
