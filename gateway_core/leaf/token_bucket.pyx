from libc.stdint cimport uint16_t, uint32_t, uint64_t

from cmodules cimport layout

LAYOUT = layout()

cdef enum:
    TICK_MS = 67


cdef inline uint64_t _tokens_until(uint64_t ticks, const BucketRate* rate) noexcept nogil:
    """Whole tokens of that many ticks; differences of it lose no fraction, however often they are taken."""
    return ticks * rate.per_s * TICK_MS // 1000


cdef void bucket_fill(Bucket* b, const BucketRate* rate, uint64_t now_ns, uint32_t most) noexcept nogil:
    b.filled = <uint16_t>(now_ns >> TICK_SHIFT)
    b.tokens = <uint16_t>min(most, rate.burst)


cdef bint bucket_take_anew(Bucket* b, const BucketRate* rate, uint64_t now_ns, uint32_t frames) noexcept nogil:
    cdef uint16_t now = <uint16_t>(now_ns >> TICK_SHIFT)
    cdef uint16_t passed
    cdef uint64_t tokens
    passed = now - b.filled
    if passed:
        tokens = b.tokens + _tokens_until(<uint64_t>b.filled + passed, rate) - _tokens_until(b.filled, rate)
        b.tokens = <uint16_t>(tokens if tokens < rate.burst else rate.burst)
        b.filled = now
    if b.tokens < frames:
        b.tokens = 0
        return False
    b.tokens = <uint16_t>(b.tokens - frames)
    return True
