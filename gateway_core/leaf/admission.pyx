from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from cmodules cimport layout
from gateway_core.includes.atomics cimport qw_add32, qw_cas64, qw_load32, qw_load64, qw_store32, qw_store64
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.includes.sys cimport qw_is_v4

LAYOUT = layout()

cdef enum:
    MS = 1000000
    KEY_WORDS = 2
    GOLDEN = 2654435769  # 2^32 by the golden ratio: its multiples are spread evenly, however many there are


cdef double MOST_NS = 1e15  # of any time ahead: eleven days are for ever, and many of them are no overflow


cdef inline uint64_t _ns(double ns) noexcept nogil:
    return <uint64_t>min(ns, MOST_NS)


cdef inline uint64_t _ahead(uint64_t at_ns, uint64_t now_ns) noexcept nogil:
    return at_ns - now_ns if at_ns > now_ns else 0


cdef void admission_rate(Admission* a, int visitor, double per_s, double burst_s, uint64_t now_ns) noexcept nogil:
    cdef Bucket* b = &a.of[visitor]
    cdef uint64_t gap = _ns(1e9 / per_s) if per_s > 0 else 0
    # Two at least: the half that only modest ones find must have room for one of them.
    cdef uint64_t depth = max(_ns(burst_s * 1e9), 2 * gap) if gap else 0
    cdef double scale = <double>gap / <double>b.gap_ns if b.gap_ns else 0.0
    cdef int i
    if gap != b.gap_ns:
        for i in range(<int>SLOTS):
            qw_store64(&b.asked_ns[i], 0)
    qw_store64(&b.gap_ns, gap)
    qw_store64(&b.depth_ns, depth)
    qw_store64(&b.full_ns, now_ns + min(_ns(<double>_ahead(qw_load64(&b.full_ns), now_ns) * scale), depth))
    for i in range(<int>ASKERS):
        qw_store64(&b.promised_ns[i], now_ns + _ns(<double>_ahead(qw_load64(&b.promised_ns[i]), now_ns) * scale))


cdef void admission_door(Admission* a, int door, uint32_t least_ms, uint32_t most_ms) noexcept nogil:
    qw_store32(&a.door, <uint32_t>door)
    qw_store32(&a.least_ms, least_ms)
    qw_store32(&a.most_ms, most_ms)


cdef bint _take(uint64_t* full_ns, uint64_t gap, uint64_t depth, uint64_t now_ns) noexcept nogil:
    cdef uint64_t full, then
    while True:
        full = qw_load64(full_ns)
        then = (full if full > now_ns else now_ns) + gap
        if then > now_ns + depth:
            return False
        if qw_cas64(full_ns, full, then):
            return True


cdef int _asks(Bucket* b, const uint8_t* ip16, uint64_t seed, uint64_t gap, uint64_t depth, uint64_t now_ns) noexcept nogil:
    cdef uint64_t k[KEY_WORDS]
    cdef uint64_t h, most = max(gap * PART * AT_ONCE, depth)
    cdef bint one, other
    memcpy(k, ip16, sizeof(k))
    if not qw_is_v4(ip16):
        k[1] = 0
    h = qw_hash(k, sizeof(k), seed)
    one = _take(&b.asked_ns[h % SLOTS], gap * PART, most, now_ns)
    other = _take(&b.asked_ns[(h >> 32) % SLOTS], gap * PART, most, now_ns)
    return MODEST if one or other else GREEDY


cdef bint admission_take(Admission* a, int visitor, const uint8_t* ip16, uint64_t seed, uint64_t now_ns, int* asker) noexcept nogil:
    cdef Bucket* b = &a.of[visitor]
    cdef uint64_t gap = qw_load64(&b.gap_ns), depth = qw_load64(&b.depth_ns)
    asker[0] = MODEST
    if qw_load32(&a.door) > <uint32_t>visitor:
        return False
    if gap == 0:
        return True
    asker[0] = _asks(b, ip16, seed, gap, depth, now_ns)
    return _take(&b.full_ns, gap, depth if asker[0] == MODEST else depth // 2, now_ns)


cdef Wait admission_wait(Admission* a, int visitor, int asker, uint64_t now_ns) noexcept nogil:
    cdef Bucket* b = &a.of[visitor]
    cdef uint64_t gap = qw_load64(&b.gap_ns), promised, then
    cdef uint32_t most = qw_load32(&a.most_ms), least = min(qw_load32(&a.least_ms), most)
    cdef Wait wait
    wait.jitter_ms = least
    if gap and qw_load32(&a.door) <= <uint32_t>visitor:
        while True:
            promised = qw_load64(&b.promised_ns[asker])
            then = max(promised, now_ns + <uint64_t>least * MS) + gap
            if then - now_ns > <uint64_t>most * MS:
                break
            if qw_cas64(&b.promised_ns[asker], promised, then):
                wait.retry_ms = <uint32_t>((then - now_ns) // MS)
                return wait
    # Nobody can say when: somewhere in the second half of the longest wait.
    wait.retry_ms = most - <uint32_t>((<uint64_t>(most // 2) * <uint32_t>(qw_add32(&b.refused, 1) * <uint32_t>GOLDEN)) >> 32)
    return wait
