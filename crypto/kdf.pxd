from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef enum:
    HASH_SIZE = 32
    HASH2_MAX = 2048          # longest second part of sha256_pair

# SHA-256(data).
cdef void sha256(const uint8_t* data, size_t n, uint8_t* out) noexcept nogil

# SHA-256(first 32 bytes || data): Noise MixHash. `out` may equal `first`. -1 when n > HASH2_MAX, else 0.
cdef int sha256_pair(const uint8_t* first, const uint8_t* data, size_t n, uint8_t* out) noexcept nogil

# HKDF of Noise section 4.3 with HMAC-SHA256: `outputs` (2 or 3) times 32 bytes from ck and `n` (<= 32) bytes of input.
# Each output pointer may equal `ck`. Intermediate keys are wiped.
cdef void noise_hkdf(const uint8_t* ck, const uint8_t* ikm, size_t n, int outputs,
                     uint8_t* out1, uint8_t* out2, uint8_t* out3) noexcept nogil
