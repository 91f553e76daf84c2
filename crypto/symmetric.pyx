"""SHA-256, HMAC (RFC 2104), HKDF and the symmetric state of Noise rev 34 (sections 4.3 and 5.2)."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.aead cimport CipherState, aead_decrypt, aead_encrypt
from crypto.sodium cimport sodium

LAYOUT = layout()

cdef extern from "crypto/includes/sha256_ni.h" nogil:
    int qw_sha256_ni_available()
    void qw_sha256_ni(uint8_t* out, const uint8_t* data, size_t n)

cdef int has_sha_ni = qw_sha256_ni_available()


cdef void sha256(const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    if has_sha_ni:
        qw_sha256_ni(out, data, n)
    else:
        sodium.hash_sha256(out, data, n)


cdef void hmac_sha256(const uint8_t* key, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    cdef uint8_t inner[BLOCK_BYTES + HMAC_DATA_MAX]
    cdef uint8_t outer[BLOCK_BYTES + HASH_BYTES]
    cdef int i
    memset(inner, 0x36, BLOCK_BYTES)
    memset(outer, 0x5C, BLOCK_BYTES)
    for i in range(HASH_BYTES):
        inner[i] ^= key[i]
        outer[i] ^= key[i]
    if n:
        memcpy(inner + BLOCK_BYTES, data, n)
    sha256(inner, BLOCK_BYTES + n, outer + BLOCK_BYTES)
    sha256(outer, sizeof(outer), out)
    sodium.memzero(inner, sizeof(inner))
    sodium.memzero(outer, sizeof(outer))


cdef void _hkdf(const uint8_t* ck, const uint8_t* ikm, size_t n,
                uint8_t* out1, uint8_t* out2, uint8_t* out3) noexcept nogil:
    """Two outputs of 32 bytes, three when out3 is not NULL. An output may equal `ck`: it is read first."""
    cdef uint8_t temp[HASH_BYTES]
    cdef uint8_t block[HASH_BYTES + 1]  # an output, and the number of the next
    hmac_sha256(ck, ikm, n, temp)
    block[0] = 1
    hmac_sha256(temp, block, 1, block)
    memcpy(out1, block, HASH_BYTES)
    block[HASH_BYTES] = 2
    hmac_sha256(temp, block, sizeof(block), block)
    memcpy(out2, block, HASH_BYTES)
    if out3 != NULL:
        block[HASH_BYTES] = 3
        hmac_sha256(temp, block, sizeof(block), block)
        memcpy(out3, block, HASH_BYTES)
    sodium.memzero(temp, sizeof(temp))
    sodium.memzero(block, sizeof(block))


cdef int _hash_with(const uint8_t* h, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    """SHA-256(h || data); the data is public (keys of the wire, ciphertext), so the copy is not wiped."""
    cdef uint8_t joined[HASH_BYTES + MIX_MAX]
    if n > MIX_MAX:
        return -1
    memcpy(joined, h, HASH_BYTES)
    if n:
        memcpy(joined + HASH_BYTES, data, n)
    sha256(joined, HASH_BYTES + n, out)
    return 0


cdef void symmetric_init(SymmetricState* ss, const uint8_t* name, size_t n, int suite) noexcept nogil:
    memset(ss, 0, sizeof(SymmetricState))
    if n <= HASH_BYTES:
        memcpy(ss.h, name, n)
    else:
        sha256(name, n, ss.h)
    memcpy(ss.ck, ss.h, HASH_BYTES)
    ss.suite = suite


cdef int symmetric_mix_hash(SymmetricState* ss, const uint8_t* data, size_t n) noexcept nogil:
    return _hash_with(ss.h, data, n, ss.h)


cdef void symmetric_mix_key(SymmetricState* ss, const uint8_t* ikm) noexcept nogil:
    _hkdf(ss.ck, ikm, HASH_BYTES, ss.ck, ss.cipher.key, NULL)
    ss.cipher.n = 0
    ss.has_key = 1


cdef void symmetric_mix_key_and_hash(SymmetricState* ss, const uint8_t* psk) noexcept nogil:
    cdef uint8_t temp_h[HASH_BYTES]
    _hkdf(ss.ck, psk, HASH_BYTES, ss.ck, temp_h, ss.cipher.key)
    _hash_with(ss.h, temp_h, HASH_BYTES, ss.h)
    ss.cipher.n = 0
    ss.has_key = 1
    sodium.memzero(temp_h, sizeof(temp_h))


cdef int symmetric_encrypt(SymmetricState* ss, const uint8_t* plain, size_t n, uint8_t* out) noexcept nogil:
    cdef int written
    if not ss.has_key:
        return -1
    written = aead_encrypt(ss.suite, ss.cipher.key, ss.cipher.n, ss.h, HASH_BYTES, plain, n, out)
    if written < 0 or _hash_with(ss.h, out, written, ss.h) < 0:
        return -1
    ss.cipher.n += 1
    return written


cdef int symmetric_decrypt(SymmetricState* ss, const uint8_t* sealed, size_t n, uint8_t* out) noexcept nogil:
    cdef uint8_t next_h[HASH_BYTES]
    cdef int written
    # The hash is of the ciphertext, which decrypting in place destroys, so it is taken first.
    if not ss.has_key or _hash_with(ss.h, sealed, n, next_h) < 0:
        return -1
    written = aead_decrypt(ss.suite, ss.cipher.key, ss.cipher.n, ss.h, HASH_BYTES, sealed, n, out)
    if written < 0:
        return -1
    memcpy(ss.h, next_h, HASH_BYTES)
    ss.cipher.n += 1
    return written


cdef void symmetric_split(const SymmetricState* ss, uint8_t* first, uint8_t* second) noexcept nogil:
    _hkdf(ss.ck, NULL, 0, first, second, NULL)


def sha256_digest(const uint8_t[::1] data not None, bint portable=False) -> bytes:
    """SHA-256 of `data` as the handshake computes it here; `portable` takes libsodium's code instead."""
    cdef uint8_t out[HASH_BYTES]
    cdef const uint8_t* p = &data[0] if data.shape[0] else NULL
    if portable:
        sodium.hash_sha256(out, p, data.shape[0])
    else:
        sha256(p, data.shape[0], out)
    return (<const char*> out)[:HASH_BYTES]


def hkdf(bytes ck not None, bytes ikm not None) -> tuple[bytes, bytes, bytes]:
    """HKDF(ck, ikm, 3) of Noise section 4.3; `ck` is 32 bytes, `ikm` at most 32."""
    cdef uint8_t out[3 * HASH_BYTES]
    if len(ck) != HASH_BYTES or len(ikm) > HASH_BYTES:
        raise ValueError("ck is 32 bytes, ikm at most 32")
    _hkdf(ck, ikm, len(ikm), out, out + HASH_BYTES, out + 2 * HASH_BYTES)
    whole = (<const char*> out)[: sizeof(out)]
    return whole[:HASH_BYTES], whole[HASH_BYTES : 2 * HASH_BYTES], whole[2 * HASH_BYTES :]


HAS_SHA_NI = bool(has_sha_ni)
