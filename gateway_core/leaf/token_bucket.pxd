"""The rate of a session's frames: tokens that come back with time."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    TICK_SHIFT = 26  # of nanoseconds: 1/15 s, which wraps after 73 minutes and then only under-fills

cdef struct Bucket:  # four bytes, of a session
    uint16_t tokens
    uint16_t filled  # when tokens were last added, 1/15 s

cdef struct BucketRate:
    uint32_t per_s  # 0 = no limit
    uint32_t burst  # at most 65535

# From now on: `most` tokens, the burst at most.
cdef void bucket_fill(Bucket* b, const BucketRate* rate, uint64_t now_ns, uint32_t most) noexcept nogil
cdef bint bucket_take_anew(Bucket* b, const BucketRate* rate, uint64_t now_ns, uint32_t frames) noexcept nogil


# Takes `frames` tokens; 0 when more was spent than rate and burst allow.
cdef inline bint bucket_take(Bucket* b, const BucketRate* rate, uint64_t now_ns, uint32_t frames) noexcept nogil:
    if rate.per_s == 0:
        return True
    if b.filled == <uint16_t>(now_ns >> TICK_SHIFT) and b.tokens >= frames:  # the common case, a frame each
        b.tokens = <uint16_t>(b.tokens - frames)
        return True
    return bucket_take_anew(b, rate, now_ns, frames)
