from libc.stdint cimport uint32_t, uint64_t

from cmodules cimport layout
from gateway_core.includes.atomics cimport qw_add32, qw_cas64, qw_load32, qw_load64, qw_store32, qw_store64

LAYOUT = layout()

cdef enum:
    MS = 1000000
    GOLDEN = 2654435769  # 2^32 by the golden ratio: its multiples are spread evenly, however many there are


cdef inline uint64_t _ahead(uint64_t at_ns, uint64_t now_ns) noexcept nogil:
    return at_ns - now_ns if at_ns > now_ns else 0


cdef void admission_rate(Admission* a, int visitor, double per_s, double burst_s, uint64_t now_ns) noexcept nogil:
    cdef Bucket* b = &a.of[visitor]
    cdef uint64_t gap = <uint64_t>(1e9 / per_s) if per_s > 0 else 0
    cdef uint64_t depth = <uint64_t>(burst_s * 1e9) if burst_s * per_s > 1 else gap
    cdef double scale = <double>gap / <double>b.gap_ns if b.gap_ns else 0.0
    cdef uint64_t used = min(<uint64_t>(<double>_ahead(qw_load64(&b.full_ns), now_ns) * scale), depth)
    cdef uint64_t promised = <uint64_t>(<double>_ahead(qw_load64(&b.promised_ns), now_ns) * scale)
    qw_store64(&b.gap_ns, gap)
    qw_store64(&b.depth_ns, depth)
    qw_store64(&b.full_ns, now_ns + used)
    qw_store64(&b.promised_ns, now_ns + promised)


cdef void admission_door(Admission* a, int door, uint32_t least_ms, uint32_t most_ms) noexcept nogil:
    qw_store32(&a.door, <uint32_t>door)
    qw_store32(&a.least_ms, least_ms)
    qw_store32(&a.most_ms, most_ms)


cdef bint admission_take(Admission* a, int visitor, uint64_t now_ns) noexcept nogil:
    cdef Bucket* b = &a.of[visitor]
    cdef uint64_t gap = qw_load64(&b.gap_ns), depth = qw_load64(&b.depth_ns), full, then
    if qw_load32(&a.door) > <uint32_t>visitor:
        return False
    if gap == 0:
        return True
    while True:
        full = qw_load64(&b.full_ns)
        then = (full if full > now_ns else now_ns) + gap
        if then > now_ns + depth:
            return False
        if qw_cas64(&b.full_ns, full, then):
            return True


cdef Wait admission_wait(Admission* a, int visitor, uint64_t now_ns) noexcept nogil:
    cdef Bucket* b = &a.of[visitor]
    cdef uint64_t gap = qw_load64(&b.gap_ns), promised, then
    cdef uint32_t most = qw_load32(&a.most_ms), least = min(qw_load32(&a.least_ms), most)
    cdef Wait wait
    wait.jitter_ms = least
    if gap and qw_load32(&a.door) <= <uint32_t>visitor:
        while True:
            promised = qw_load64(&b.promised_ns)
            then = max(promised, now_ns + <uint64_t>least * MS) + gap
            if then - now_ns > <uint64_t>most * MS:
                break
            if qw_cas64(&b.promised_ns, promised, then):
                wait.retry_ms = <uint32_t>((then - now_ns) // MS)
                return wait
    # Nobody can say when: somewhere in the second half of the longest wait.
    wait.retry_ms = most - <uint32_t>((<uint64_t>(most // 2) * <uint32_t>(qw_add32(&b.refused, 1) * <uint32_t>GOLDEN)) >> 32)
    return wait
