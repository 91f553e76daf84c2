from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memset

from cmodules cimport layout
from crypto.sodium cimport sodium
from gateway_core.includes.sys cimport qw_map, qw_unmap

LAYOUT = layout()

cdef enum:
    FILTER_BYTES = FILTER_BITS // 8
    HASH_WORDS = 2


cdef int replay_init(ReplayFilter* f, uint64_t window_ns) noexcept nogil:
    cdef int i
    memset(f, 0, sizeof(ReplayFilter))
    f.window_ns = window_ns
    sodium.randombytes(f.key, FILTER_KEY)
    for i in range(<int>FILTERS):
        f.bits[i] = <uint8_t*>qw_map(FILTER_BYTES)
        if f.bits[i] == NULL:
            return -1
    return 0


cdef void replay_free(ReplayFilter* f) noexcept nogil:
    cdef int i
    for i in range(<int>FILTERS):
        qw_unmap(f.bits[i], FILTER_BYTES)
        f.bits[i] = NULL


cdef void _forget(ReplayFilter* f, uint32_t which) noexcept nogil:
    if f.n[which]:
        memset(f.bits[which], 0, FILTER_BYTES)
        f.n[which] = 0


cdef void _turn(ReplayFilter* f, uint64_t now_ns) noexcept nogil:
    cdef uint64_t passed = now_ns - f.turned_ns
    if passed < f.window_ns:
        return
    if passed >= 2 * f.window_ns:
        _forget(f, f.now)
    f.now = 1 - f.now
    _forget(f, f.now)
    f.turned_ns = now_ns


cdef bint replay_seen(ReplayFilter* f, const uint8_t* p, size_t n, uint64_t now_ns) noexcept nogil:
    cdef uint64_t h[HASH_WORDS]
    cdef uint64_t at
    cdef uint32_t i, which
    cdef bint found[FILTERS]
    cdef uint8_t* bits
    _turn(f, now_ns)
    if f.n[f.now] >= FILTER_MOST:
        return True
    sodium.siphashx24(<uint8_t*>h, p, n, f.key)
    for which in range(<uint32_t>FILTERS):
        found[which] = True
        bits = f.bits[which]
        for i in range(<uint32_t>FILTER_HASHES):
            at = (h[0] + i * h[1]) % <uint64_t>FILTER_BITS
            if not bits[at >> 3] & (1 << (at & 7)):
                found[which] = False
                if which == f.now:
                    bits[at >> 3] |= <uint8_t>(1 << (at & 7))
    if not found[f.now]:
        f.n[f.now] += 1
    return found[0] or found[1]
