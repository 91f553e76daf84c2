from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    AEAD_MAX_SEALED = 65535   # the u16 length of a record
    AEAD_KEY_MAX = 32         # bytes of the longest key
    AEAD_NONCE_MAX = 16       # and of the longest nonce

# One direction of a connection: key and record counter. 40 bytes, no pointers, may be copied freely.
# AEGIS-128L uses key[0:16]; the rest is zero.
cdef struct CipherState:
    uint8_t key[AEAD_KEY_MAX]
    uint64_t n                # next nonce; 2^64-1 is reserved for rekey and refused

# 16, 16, 32; -1 for a suite this build or CPU does not have.
cdef int aead_tag_size(int suite) noexcept nogil

# Seal `len` bytes with nonce cs.n, which advances. Writes len + tag bytes and returns their count; -1 when the
# nonce is exhausted, the suite unknown or the result longer than AEAD_MAX_SEALED. `out` may equal `plain`.
cdef int aead_seal(int suite, CipherState* cs, const uint8_t* plain, size_t len, uint8_t* out) noexcept nogil

# Open with nonce cs.n. Returns the plaintext length and advances n; -1 on any failure: n stays, the contents of
# `out` are lost (zeroed). `out` may equal `sealed`; len - tag bytes are written.
cdef int aead_open(int suite, CipherState* cs, const uint8_t* sealed, size_t len, uint8_t* out) noexcept nogil

# REKEY(k) of Noise section 4.2; n goes on. 0, or -1 for an unknown suite.
cdef int aead_rekey(int suite, CipherState* cs) noexcept nogil

# The same with explicit nonce and associated data (Noise ENCRYPT / DECRYPT); bytes written or -1.
cdef int aead_encrypt(int suite, const uint8_t* key, uint64_t n, const uint8_t* ad, size_t ad_len,
                      const uint8_t* plain, size_t len, uint8_t* out) noexcept nogil
cdef int aead_decrypt(int suite, const uint8_t* key, uint64_t n, const uint8_t* ad, size_t ad_len,
                      const uint8_t* sealed, size_t len, uint8_t* out) noexcept nogil
