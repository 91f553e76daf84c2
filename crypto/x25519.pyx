"""X25519 of several at once (docs/decisions/0057)."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.sodium cimport sodium

LAYOUT = layout()

cdef extern from "crypto/includes/x25519_ifma.h" nogil:
    int qw_x25519_ifma_available()
    void qw_x25519_ifma8(uint8_t out[][X25519_BYTES], const uint8_t scalars[][X25519_BYTES],
                         const uint8_t points[][X25519_BYTES])

cdef uint8_t BASE[X25519_BYTES]
BASE[0] = 9
cdef bint _wide = qw_x25519_ifma_available()


cdef bint x25519_wide() noexcept nogil:
    return _wide


cdef int x25519_put(X25519Batch* b, const uint8_t* scalar, const uint8_t* point) noexcept nogil:
    cdef int lane = b.n
    b.n += 1
    memcpy(b.scalar[lane], scalar, X25519_BYTES)
    memcpy(b.point[lane], &BASE[0] if point == NULL else point, X25519_BYTES)
    return lane


cdef void _run(X25519Batch* b, bint wide) noexcept nogil:
    cdef int lane
    if wide:
        for lane in range(b.n, X25519_LANES):
            memset(b.scalar[lane], 0, X25519_BYTES)
            memset(b.point[lane], 0, X25519_BYTES)
        qw_x25519_ifma8(b.product, b.scalar, b.point)
        return
    for lane in range(b.n):
        if sodium.memcmp(b.point[lane], BASE, X25519_BYTES) == 0:
            sodium.scalarmult_base(b.product[lane], b.scalar[lane])
        elif sodium.scalarmult(b.product[lane], b.scalar[lane], b.point[lane]) < 0:
            memset(b.product[lane], 0, X25519_BYTES)


cdef void x25519_run(X25519Batch* b) noexcept nogil:
    _run(b, _wide and b.n > 1)


cdef void x25519_wipe(X25519Batch* b) noexcept nogil:
    sodium.memzero(b, sizeof(X25519Batch))


def multiply(pairs, bint portable=False) -> list[bytes]:
    """scalar * point of at most eight pairs of 32 bytes each, in one batch; `portable` takes libsodium's code."""
    cdef X25519Batch b
    b.n = 0
    if len(pairs) > X25519_LANES or any(len(part) != X25519_BYTES for pair in pairs for part in pair):
        raise ValueError(f"at most {<int> X25519_LANES} pairs of {<int> X25519_BYTES} bytes")
    for scalar, point in pairs:
        x25519_put(&b, <bytes> scalar, <bytes> point)
    _run(&b, _wide and not portable)
    products = [(<const char*> b.product[lane])[:X25519_BYTES] for lane in range(b.n)]
    x25519_wipe(&b)
    return products


IS_WIDE = bool(_wide)
