from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

# ChaCha20-Poly1305 (key 32, nonce 12, no associated data) of `len` bytes, for records of OPENSSL_MIN bytes and more.
# 1: done, len + 16 or len - 16 bytes were written. 0: not here, nothing touched, ask libsodium. -1: failed; a record
# that is not authentic leaves zeros. `out` may equal the input.
cdef enum:
    OPENSSL_MIN = 768

cdef int openssl_seal(uint8_t* out, const uint8_t* plain, size_t len, const uint8_t* nonce,
                      const uint8_t* key) noexcept nogil
cdef int openssl_open(uint8_t* out, const uint8_t* sealed, size_t len, const uint8_t* nonce,
                      const uint8_t* key) noexcept nogil
