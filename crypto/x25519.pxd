# X25519 (RFC 7748, section 5) of several at once: eight cost what one costs where the CPU has AVX-512 with IFMA.
#
# Constant time in scalars and points either way. The caller wipes a batch whose results are secrets.

from libc.stdint cimport uint8_t

cdef enum:
    X25519_LANES = 8
    X25519_BYTES = 32                 # a scalar, a point

cdef struct X25519Batch:
    int n
    uint8_t scalar[X25519_LANES][X25519_BYTES]
    uint8_t point[X25519_LANES][X25519_BYTES]
    uint8_t product[X25519_LANES][X25519_BYTES]  # zeros for a point of low order

# Does a batch cost about the same whatever is in it? Else each of its products costs as much again.
cdef bint x25519_wide() noexcept nogil

# The next lane; `point` NULL is the base point. The caller knows that there is room, and sets n to 0 at first.
cdef int x25519_put(X25519Batch* b, const uint8_t* scalar, const uint8_t* point) noexcept nogil
# The products of the first n lanes. Scalars are clamped here.
cdef void x25519_run(X25519Batch* b) noexcept nogil
cdef void x25519_wipe(X25519Batch* b) noexcept nogil
