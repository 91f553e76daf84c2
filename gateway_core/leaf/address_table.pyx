from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cmodules cimport layout
from gateway_core.includes.atomics cimport qw_load32, qw_store32, qw_swap32
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.includes.sys cimport qw_is_v4
from gateway_core.leaf.lists cimport NONE32

LAYOUT = layout()

cdef enum:
    ENTRIES = 65536
    PROBES = 16


cdef int addresses_init(AddressTable* t, const AddressLimits* limits, uint64_t seed) noexcept nogil:
    t.lock = 0
    t.mask = ENTRIES - 1
    t.limits = limits[0]
    t.seed = seed
    t.at = <AddressEntry*>calloc(ENTRIES, sizeof(AddressEntry))
    return 0 if t.at != NULL else -1


cdef void addresses_free(AddressTable* t) noexcept nogil:
    free(t.at)
    t.at = NULL


cdef void _lock(AddressTable* t) noexcept nogil:
    while qw_swap32(&t.lock, 1):
        while qw_load32(&t.lock):
            pass


cdef float _refilled(const AddressEntry* e, uint32_t now_ms, const AddressLimits* lim) noexcept nogil:
    cdef float tokens = e.tokens + <float>(now_ms - e.stamp_ms) * <float>lim.accepts_per_s / 1000.0
    return tokens if tokens < <float>lim.accepts_burst else <float>lim.accepts_burst


cdef uint32_t _entry(AddressTable* t, uint64_t k0, uint64_t k1, uint32_t now_ms) noexcept nogil:
    """The entry of a key, made when absent; NONE32 when no place within the probes may be reused."""
    cdef uint64_t key[KEY_WORDS]
    cdef uint32_t at, i, best = NONE32
    cdef AddressEntry* e
    key[0] = k0
    key[1] = k1
    at = <uint32_t>qw_hash(key, sizeof(key), t.seed) & t.mask
    for i in range(<uint32_t>PROBES):
        e = &t.at[(at + i) & t.mask]
        if e.key[0] == k0 and e.key[1] == k1:
            return (at + i) & t.mask
        # an entry with no connection and full tokens remembers nothing worth keeping
        if best == NONE32 and e.conns == 0 and (
            (e.key[0] == 0 and e.key[1] == 0) or _refilled(e, now_ms, &t.limits) >= t.limits.accepts_burst
        ):
            best = (at + i) & t.mask
    if best != NONE32:
        e = &t.at[best]
        e.key[0] = k0
        e.key[1] = k1
        e.conns = 0
        e.tokens = <float>t.limits.accepts_burst
        e.stamp_ms = now_ms
        e.parent = NONE32
    return best


cdef int _judge(AddressTable* t, uint32_t at, uint32_t parent, uint32_t now_ms) noexcept nogil:
    cdef AddressLimits* lim = &t.limits
    cdef AddressEntry* e
    if at != NONE32:
        e = &t.at[at]
        if lim.connections and e.conns >= lim.connections:
            return ADDRESS_TOO_MANY
        if lim.accepts_per_s:
            e.tokens = _refilled(e, now_ms, lim)
            e.stamp_ms = now_ms
            if e.tokens < 1.0:
                return ADDRESS_TOO_FAST
            e.tokens -= 1.0
    if parent != NONE32 and lim.net64_connections and t.at[parent].conns >= lim.net64_connections:
        return ADDRESS_NET_FULL
    return ADDRESS_OK


cdef int address_enter(AddressTable* t, uint64_t now_ns, const uint8_t* ip16, uint32_t* ref) noexcept nogil:
    cdef AddressLimits* lim = &t.limits
    cdef uint64_t k[KEY_WORDS]
    cdef uint32_t at, parent = NONE32, now_ms = <uint32_t>(now_ns // 1000000)
    cdef int verdict
    ref[0] = NONE32
    if lim.connections == 0 and lim.accepts_per_s == 0 and lim.net64_connections == 0:
        return ADDRESS_OK
    memcpy(k, ip16, sizeof(k))
    _lock(t)
    at = _entry(t, k[0], k[1], now_ms)
    if at != NONE32 and not qw_is_v4(ip16):
        t.at[at].conns += 1  # holds the place while its parent looks for one
        parent = _entry(t, k[0], 1, now_ms)
        t.at[at].conns -= 1
    verdict = _judge(t, at, parent, now_ms)
    if verdict == ADDRESS_OK and at != NONE32:
        if t.at[at].conns == 0:
            t.at[at].parent = parent
        t.at[at].conns += 1
        if t.at[at].parent != NONE32:
            t.at[t.at[at].parent].conns += 1
        ref[0] = at
    qw_store32(&t.lock, 0)
    return verdict


cdef void address_leave(AddressTable* t, uint32_t ref) noexcept nogil:
    cdef AddressEntry* e
    if ref == NONE32:
        return
    _lock(t)
    e = &t.at[ref]
    e.conns -= 1
    if e.parent != NONE32:
        t.at[e.parent].conns -= 1
        if e.conns == 0:
            e.parent = NONE32
    qw_store32(&t.lock, 0)
