"""Keys of a loop: the node's static ones, and ephemeral pairs made ahead: in idle ticks, and in lanes that are free."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from crypto.x25519 cimport X25519Batch

cdef enum:
    KEY_BYTES = 32  # X25519
    MAX_KEYS = 8  # static keys in use at the same time: a rotation overlaps
    KEY_SET_MAX = 1024  # bytes of the signed key set

cdef struct StaticKey:
    uint16_t id
    uint8_t priv[KEY_BYTES]
    uint8_t pub[KEY_BYTES]

cdef struct KeyRing:
    uint32_t n
    StaticKey key[MAX_KEYS]
    uint32_t signed_len
    uint8_t signed_set[KEY_SET_MAX]

cdef struct Ephemeral:
    uint8_t priv[KEY_BYTES]
    uint8_t pub[KEY_BYTES]

cdef struct EphemeralPool:
    Ephemeral* at
    uint32_t n
    uint32_t cap

cdef StaticKey* key_find(KeyRing* ring, uint16_t id) noexcept nogil  # NULL: not one of ours
cdef void key_ring_wipe(KeyRing* ring) noexcept nogil

cdef int ephemerals_init(EphemeralPool* pool, uint32_t cap) noexcept nogil  # empty; 0, or -1 without memory
cdef void ephemerals_free(EphemeralPool* pool) noexcept nogil  # wiped
cdef int ephemerals_fill(EphemeralPool* pool, int n) noexcept nogil  # makes up to n pairs; how many were made
# The lanes that a batch leaves free, when it is computed at once anyway: pairs for which the pool has room, of which
# the first is in the lane that is returned; and what became of them once the batch has run.
cdef int ephemerals_join(EphemeralPool* pool, X25519Batch* b) noexcept nogil
cdef void ephemerals_collect(EphemeralPool* pool, const X25519Batch* b, int first) noexcept nogil
# Moves one out, wiped in the pool; 1, or 0: none was ready, it was made now. The caller wipes `out`.
cdef bint ephemeral_take(EphemeralPool* pool, Ephemeral* out) noexcept nogil
