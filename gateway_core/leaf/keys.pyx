from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport calloc, free

from cmodules cimport layout
from crypto.noise cimport noise_keypair
from crypto.sodium cimport sodium

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


cdef int ephemerals_fill(EphemeralPool* pool, int n) noexcept nogil:
    cdef int made = 0
    while made < n and pool.n < pool.cap:
        if noise_keypair(pool.at[pool.n].priv, pool.at[pool.n].pub) < 0:
            break
        pool.n += 1
        made += 1
    return made


cdef bint ephemeral_take(EphemeralPool* pool, Ephemeral* out) noexcept nogil:
    if pool.n == 0:
        noise_keypair(out.priv, out.pub)
        return False
    pool.n -= 1
    out[0] = pool.at[pool.n]
    sodium.memzero(&pool.at[pool.n], sizeof(Ephemeral))
    return True
