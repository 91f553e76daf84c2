from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from gateway_core.includes.atomics cimport qw_load32, qw_store32, qw_swap32
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.includes.sys cimport qw_is_v4
from gateway_core.types cimport NONE32, Engine, IpEntry, IpTable, Loop, Session, Settings, layout_mark

LAYOUT = layout_mark()

cdef enum:
    IP_ENTRIES = 65536
    IP_PROBES = 16


cdef bint bucket_take(Loop* loop, Session* s, uint32_t frames) noexcept nogil:
    cdef Settings* lim = loop.set
    cdef uint16_t now = <uint16_t>(loop.now_ns >> 26)  # 1/15 s; wraps after 73 min, which only under-fills
    cdef uint16_t passed
    cdef uint64_t tokens
    if lim.inbound_per_s == 0:
        return True
    passed = now - s.filled
    if passed:
        tokens = s.tokens + ((<uint64_t>passed * lim.inbound_per_s * 67) // 1000)
        s.tokens = <uint16_t>(tokens if tokens < lim.inbound_burst else lim.inbound_burst)
        s.filled = now
    if s.tokens < frames:
        s.tokens = 0
        return False
    s.tokens = <uint16_t>(s.tokens - frames)
    return True


cdef int ip_init(Engine* engine) noexcept nogil:
    engine.ips.lock = 0
    engine.ips.mask = IP_ENTRIES - 1
    engine.ips.at = <IpEntry*>calloc(IP_ENTRIES, sizeof(IpEntry))
    return 0 if engine.ips.at != NULL else -1


cdef void ip_free(Engine* engine) noexcept nogil:
    free(engine.ips.at)
    engine.ips.at = NULL


cdef void _lock(IpTable* t) noexcept nogil:
    while qw_swap32(&t.lock, 1):
        while qw_load32(&t.lock):
            pass


cdef float _refilled(const IpEntry* e, uint32_t now_ms, const Settings* lim) noexcept nogil:
    cdef float tokens = e.tokens + <float>(now_ms - e.stamp_ms) * <float>lim.ip_accepts_per_s / 1000.0
    return tokens if tokens < <float>lim.ip_accepts_burst else <float>lim.ip_accepts_burst


cdef uint32_t _entry(Engine* engine, uint64_t k0, uint64_t k1, uint32_t now_ms) noexcept nogil:
    """The entry of a key, made when absent; NONE32 when no place within the probes may be reused."""
    cdef IpTable* t = &engine.ips
    cdef uint64_t key[2]
    cdef uint32_t at, i, best = NONE32
    cdef IpEntry* e
    key[0] = k0
    key[1] = k1
    at = <uint32_t>qw_hash(key, 16, engine.seed) & t.mask
    for i in range(<uint32_t>IP_PROBES):
        e = &t.at[(at + i) & t.mask]
        if e.key[0] == k0 and e.key[1] == k1:
            return (at + i) & t.mask
        # an entry with no connection and full tokens remembers nothing worth keeping
        if best == NONE32 and e.conns == 0 and (
            (e.key[0] == 0 and e.key[1] == 0) or _refilled(e, now_ms, &engine.set) >= engine.set.ip_accepts_burst
        ):
            best = (at + i) & t.mask
    if best != NONE32:
        e = &t.at[best]
        e.key[0] = k0
        e.key[1] = k1
        e.conns = 0
        e.tokens = <float>engine.set.ip_accepts_burst
        e.stamp_ms = now_ms
        e.parent = NONE32
    return best


cdef int _judge(Engine* engine, uint32_t at, uint32_t parent, uint32_t now_ms) noexcept nogil:
    cdef Settings* lim = &engine.set
    cdef IpEntry* e
    if at != NONE32:
        e = &engine.ips.at[at]
        if lim.ip_connections and e.conns >= lim.ip_connections:
            return IP_TOO_MANY
        if lim.ip_accepts_per_s:
            e.tokens = _refilled(e, now_ms, lim)
            e.stamp_ms = now_ms
            if e.tokens < 1.0:
                return IP_TOO_FAST
            e.tokens -= 1.0
    if parent != NONE32 and lim.net64_connections and engine.ips.at[parent].conns >= lim.net64_connections:
        return IP_NET_FULL
    return IP_OK


cdef int ip_enter(Loop* loop, const uint8_t* ip16, uint32_t* ref) noexcept nogil:
    cdef Engine* engine = loop.engine
    cdef Settings* lim = &engine.set
    cdef uint64_t k[2]
    cdef uint32_t at, parent = NONE32, now_ms = <uint32_t>(loop.now_ns // 1000000)
    cdef int verdict
    ref[0] = NONE32
    if lim.ip_connections == 0 and lim.ip_accepts_per_s == 0 and lim.net64_connections == 0:
        return IP_OK
    memcpy(k, ip16, 16)
    _lock(&engine.ips)
    at = _entry(engine, k[0], k[1], now_ms)
    if at != NONE32 and not qw_is_v4(ip16):
        engine.ips.at[at].conns += 1  # holds the place while its parent looks for one
        parent = _entry(engine, k[0], 1, now_ms)
        engine.ips.at[at].conns -= 1
    verdict = _judge(engine, at, parent, now_ms)
    if verdict == IP_OK and at != NONE32:
        if engine.ips.at[at].conns == 0:
            engine.ips.at[at].parent = parent
        engine.ips.at[at].conns += 1
        if engine.ips.at[at].parent != NONE32:
            engine.ips.at[engine.ips.at[at].parent].conns += 1
        ref[0] = at
    qw_store32(&engine.ips.lock, 0)
    return verdict


cdef void ip_leave(Loop* loop, uint32_t ref) noexcept nogil:
    cdef IpTable* t = &loop.engine.ips
    cdef IpEntry* e
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
