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


cdef void _hmac(const uint8_t* key, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    """HMAC with a 32-byte key over at most 33 bytes, the only shapes HKDF needs. `out` may equal either input."""
    cdef uint8_t inner[64 + 33]
    cdef uint8_t outer[64 + 32]
    cdef int i
    memset(inner, 0x36, 64)
    memset(outer, 0x5C, 64)
    for i in range(32):
        inner[i] ^= key[i]
        outer[i] ^= key[i]
    if n:
        memcpy(inner + 64, data, n)
    sha256(inner, 64 + n, outer + 64)
    sha256(outer, 96, out)
    sodium.memzero(inner, sizeof(inner))
    sodium.memzero(outer, sizeof(outer))


cdef void _hkdf(const uint8_t* ck, const uint8_t* ikm, size_t n,
                uint8_t* out1, uint8_t* out2, uint8_t* out3) noexcept nogil:
    """Two outputs of 32 bytes, three when out3 is not NULL. An output may equal `ck`: it is read first."""
    cdef uint8_t temp[32]
    cdef uint8_t block[33]
    _hmac(ck, ikm, n, temp)
    block[0] = 1
    _hmac(temp, block, 1, block)
    memcpy(out1, block, 32)
    block[32] = 2
    _hmac(temp, block, 33, block)
    memcpy(out2, block, 32)
    if out3 != NULL:
        block[32] = 3
        _hmac(temp, block, 33, block)
        memcpy(out3, block, 32)
    sodium.memzero(temp, sizeof(temp))
    sodium.memzero(block, sizeof(block))


cdef int _hash_with(const uint8_t* h, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    """SHA-256(h || data); the data is public (keys of the wire, ciphertext), so the copy is not wiped."""
    cdef uint8_t joined[32 + MIX_MAX]
    if n > MIX_MAX:
        return -1
    memcpy(joined, h, 32)
    if n:
        memcpy(joined + 32, data, n)
    sha256(joined, 32 + n, out)
    return 0


cdef void symmetric_init(SymmetricState* ss, const uint8_t* name, size_t n, int suite) noexcept nogil:
    memset(ss, 0, sizeof(SymmetricState))
    if n <= 32:
        memcpy(ss.h, name, n)
    else:
        sha256(name, n, ss.h)
    memcpy(ss.ck, ss.h, 32)
    ss.suite = suite


cdef int symmetric_mix_hash(SymmetricState* ss, const uint8_t* data, size_t n) noexcept nogil:
    return _hash_with(ss.h, data, n, ss.h)


cdef void symmetric_mix_key(SymmetricState* ss, const uint8_t* ikm) noexcept nogil:
    _hkdf(ss.ck, ikm, 32, ss.ck, ss.cipher.key, NULL)
    ss.cipher.n = 0
    ss.has_key = 1


cdef void symmetric_mix_key_and_hash(SymmetricState* ss, const uint8_t* psk) noexcept nogil:
    cdef uint8_t temp_h[32]
    _hkdf(ss.ck, psk, 32, ss.ck, temp_h, ss.cipher.key)
    _hash_with(ss.h, temp_h, 32, ss.h)
    ss.cipher.n = 0
    ss.has_key = 1
    sodium.memzero(temp_h, sizeof(temp_h))


cdef int symmetric_encrypt(SymmetricState* ss, const uint8_t* plain, size_t n, uint8_t* out) noexcept nogil:
    cdef int written
    if not ss.has_key:
        return -1
    written = aead_encrypt(ss.suite, ss.cipher.key, ss.cipher.n, ss.h, 32, plain, n, out)
    if written < 0 or _hash_with(ss.h, out, written, ss.h) < 0:
        return -1
    ss.cipher.n += 1
    return written


cdef int symmetric_decrypt(SymmetricState* ss, const uint8_t* sealed, size_t n, uint8_t* out) noexcept nogil:
    cdef uint8_t next_h[32]
    cdef int written
    # The hash is of the ciphertext, which decrypting in place destroys, so it is taken first.
    if not ss.has_key or _hash_with(ss.h, sealed, n, next_h) < 0:
        return -1
    written = aead_decrypt(ss.suite, ss.cipher.key, ss.cipher.n, ss.h, 32, sealed, n, out)
    if written < 0:
        return -1
    memcpy(ss.h, next_h, 32)
    ss.cipher.n += 1
    return written


cdef void symmetric_split(const SymmetricState* ss, uint8_t* first, uint8_t* second) noexcept nogil:
    _hkdf(ss.ck, NULL, 0, first, second, NULL)


def sha256_digest(const uint8_t[::1] data not None, bint portable=False) -> bytes:
    """SHA-256 of `data` as the handshake computes it here; `portable` takes libsodium's code instead."""
    cdef uint8_t out[32]
    cdef const uint8_t* p = &data[0] if data.shape[0] else NULL
    if portable:
        sodium.hash_sha256(out, p, data.shape[0])
    else:
        sha256(p, data.shape[0], out)
    return (<const char*> out)[:32]


def hkdf(bytes ck not None, bytes ikm not None) -> tuple[bytes, bytes, bytes]:
    """HKDF(ck, ikm, 3) of Noise section 4.3; `ck` is 32 bytes, `ikm` at most 32."""
    cdef uint8_t out[96]
    if len(ck) != 32 or len(ikm) > 32:
        raise ValueError("ck is 32 bytes, ikm at most 32")
    _hkdf(ck, ikm, len(ikm), out, out + 32, out + 64)
    return (<const char*> out)[:32], (<const char*> out)[32:64], (<const char*> out)[64:96]


HAS_SHA_NI = bool(has_sha_ni)
