"""SHA-256, HMAC-SHA256 (RFC 2104) and the HKDF of Noise rev 34 section 4.3, on the one-shot hash of libsodium."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from crypto.sodium cimport sodium


cdef void sha256(const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    sodium.hash_sha256(out, data, n)


cdef int sha256_pair(const uint8_t* first, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    cdef uint8_t joined[HASH_SIZE + HASH2_MAX]
    if n > HASH2_MAX:
        return -1
    memcpy(joined, first, HASH_SIZE)
    if n:
        memcpy(joined + HASH_SIZE, data, n)
    sodium.hash_sha256(out, joined, HASH_SIZE + n)
    return 0


cdef inline void _hmac(const uint8_t* key, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    """HMAC with a 32-byte key over at most 33 bytes (the only shapes HKDF needs)."""
    cdef uint8_t inner[64 + 33]
    cdef uint8_t outer[64 + 32]
    cdef int i
    for i in range(32):
        inner[i] = key[i] ^ 0x36
        outer[i] = key[i] ^ 0x5C
    for i in range(32, 64):
        inner[i] = 0x36
        outer[i] = 0x5C
    if n:
        memcpy(inner + 64, data, n)
    sodium.hash_sha256(outer + 64, inner, 64 + n)
    sodium.hash_sha256(out, outer, 96)
    sodium.memzero(inner, sizeof(inner))
    sodium.memzero(outer, sizeof(outer))


cdef void noise_hkdf(const uint8_t* ck, const uint8_t* ikm, size_t n, int outputs,
                     uint8_t* out1, uint8_t* out2, uint8_t* out3) noexcept nogil:
    cdef uint8_t temp[32]
    cdef uint8_t block[33]
    _hmac(ck, ikm, n, temp)
    block[0] = 1
    _hmac(temp, block, 1, block)
    memcpy(out1, block, 32)
    block[32] = 2
    _hmac(temp, block, 33, block)
    memcpy(out2, block, 32)
    if outputs == 3:
        block[32] = 3
        _hmac(temp, block, 33, block)
        memcpy(out3, block, 32)
    sodium.memzero(temp, 32)
    sodium.memzero(block, 33)
