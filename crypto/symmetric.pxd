# SHA-256, and the SymmetricState of Noise rev 34 (section 5.2) over it.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from crypto.aead cimport CipherState

cdef enum:
    HASH_BYTES = 32                   # SHA-256
    BLOCK_BYTES = 64                  # of the input that SHA-256 takes at a time
    MIX_MAX = 2048                    # longest input of symmetric_mix_hash
    HMAC_DATA_MAX = 48                # longest input of hmac_sha256

cdef struct SymmetricState:
    uint8_t ck[HASH_BYTES]
    uint8_t h[HASH_BYTES]
    CipherState cipher
    int suite                         # SUITE_CHACHAPOLY or SUITE_AESGCM
    int has_key

cdef void sha256(const uint8_t* data, size_t n, uint8_t* out) noexcept nogil
# With a key of 32 bytes, over at most HMAC_DATA_MAX bytes. `out` may equal either input.
cdef void hmac_sha256(const uint8_t* key, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil

# InitializeSymmetric: h is the protocol name, zero-padded to 32 bytes, or hashed when longer; ck = h.
cdef void symmetric_init(SymmetricState* ss, const uint8_t* name, size_t n, int suite) noexcept nogil

# 0, or -1 when n > MIX_MAX.
cdef int symmetric_mix_hash(SymmetricState* ss, const uint8_t* data, size_t n) noexcept nogil

# MixKey and MixKeyAndHash take 32 bytes (a DH result, a public key, a psk).
cdef void symmetric_mix_key(SymmetricState* ss, const uint8_t* ikm) noexcept nogil
cdef void symmetric_mix_key_and_hash(SymmetricState* ss, const uint8_t* psk) noexcept nogil

# EncryptAndHash and DecryptAndHash: bytes written, or -1; refused before the first key. `out` may equal the input.
cdef int symmetric_encrypt(SymmetricState* ss, const uint8_t* plain, size_t n, uint8_t* out) noexcept nogil
cdef int symmetric_decrypt(SymmetricState* ss, const uint8_t* sealed, size_t n, uint8_t* out) noexcept nogil

# Split: the keys of the initiator's and the responder's direction, 32 bytes each.
cdef void symmetric_split(const SymmetricState* ss, uint8_t* first, uint8_t* second) noexcept nogil
