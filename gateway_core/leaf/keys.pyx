from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cmodules cimport layout
from crypto.noise cimport noise_keypair
from crypto.sodium cimport sodium
from crypto.x25519 cimport X25519_LANES, X25519Batch, x25519_put, x25519_run, x25519_wide, x25519_wipe

LAYOUT = layout()


cdef StaticKey* key_find(KeyRing* ring, uint16_t id) noexcept nogil:
    cdef uint32_t i
    for i in range(ring.n):
        if ring.key[i].id == id:
            return &ring.key[i]
    return NULL


cdef void key_ring_wipe(KeyRing* ring) noexcept nogil:
    sodium.memzero(ring, sizeof(KeyRing))


cdef int ephemerals_init(EphemeralPool* pool, uint32_t cap) noexcept nogil:
    pool.n = 0
    pool.cap = cap
    pool.at = <Ephemeral*>calloc(cap + 1, sizeof(Ephemeral))
    return 0 if pool.at != NULL else -1


cdef void ephemerals_free(EphemeralPool* pool) noexcept nogil:
    if pool.at != NULL:
        sodium.memzero(pool.at, (pool.cap + 1) * sizeof(Ephemeral))
    free(pool.at)
    pool.at = NULL


cdef void _draw(X25519Batch* b, int n) noexcept nogil:
    cdef uint8_t priv[X25519_LANES * KEY_BYTES]
    cdef int i
    sodium.randombytes(priv, <unsigned long long>n * KEY_BYTES)
    for i in range(n):
        x25519_put(b, priv + i * KEY_BYTES, NULL)
    sodium.memzero(priv, sizeof(priv))


cdef int ephemerals_join(EphemeralPool* pool, X25519Batch* b) noexcept nogil:
    cdef int first = b.n
    cdef int room = min(X25519_LANES - first, <int>(pool.cap - pool.n))
    if x25519_wide() and room > 0:
        _draw(b, room)
    return first


cdef void ephemerals_collect(EphemeralPool* pool, const X25519Batch* b, int first) noexcept nogil:
    cdef int lane
    for lane in range(first, b.n):
        memcpy(pool.at[pool.n].priv, b.scalar[lane], KEY_BYTES)
        memcpy(pool.at[pool.n].pub, b.product[lane], KEY_BYTES)
        pool.n += 1


cdef int ephemerals_fill(EphemeralPool* pool, int n) noexcept nogil:
    cdef X25519Batch b
    cdef int made = 0
    while made < n and pool.n < pool.cap:
        b.n = 0
        _draw(&b, min(X25519_LANES, min(n - made, <int>(pool.cap - pool.n))))
        x25519_run(&b)
        ephemerals_collect(pool, &b, 0)
        made += b.n
    x25519_wipe(&b)
    return made


cdef bint ephemeral_take(EphemeralPool* pool, Ephemeral* out) noexcept nogil:
    cdef bint ready = pool.n != 0
    if not ready and x25519_wide():
        ephemerals_fill(pool, X25519_LANES)
    if pool.n == 0:
        noise_keypair(out.priv, out.pub)
        return False
    pool.n -= 1
    out[0] = pool.at[pool.n]
    sodium.memzero(&pool.at[pool.n], sizeof(Ephemeral))
    return ready
