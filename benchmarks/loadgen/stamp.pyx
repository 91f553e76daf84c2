"""Stamps: see stamp.pxd."""

from libc.string cimport memset

from cmodules cimport layout

LAYOUT = layout()

cdef const uint8_t* DIGITS = b"0123456789abcdef"
cdef enum:
    BYTE_VALUES = 256

cdef uint8_t VALUE[BYTE_VALUES]


cdef void fill_values() noexcept nogil:
    cdef int i
    memset(VALUE, 0xFF, sizeof(VALUE))
    for i in range(16):
        VALUE[DIGITS[i]] = i


fill_values()


cdef inline void hex_put(uint8_t* p, int digits, uint64_t v) noexcept nogil:
    cdef int i
    for i in range(digits - 1, -1, -1):
        p[i] = DIGITS[v & 15]
        v >>= 4


cdef inline int hex_get(const uint8_t* p, int digits, uint64_t* v) noexcept nogil:
    cdef int i
    cdef uint8_t bad = 0
    cdef uint64_t value = 0
    for i in range(digits):
        bad |= VALUE[p[i]] & 0xF0
        value = (value << 4) | (VALUE[p[i]] & 15)
    v[0] = value
    return bad == 0


cdef void stamp_put(uint8_t* p, size_t size, const Stamp* stamp) noexcept nogil:
    """Write a text of `size` >= STAMP_SIZE characters."""
    p[0] = c"q"
    hex_put(p + 1, 6, stamp.publisher)
    hex_put(p + 7, 8, stamp.sequence)
    hex_put(p + 15, 16, stamp.due_ns)
    p[31] = c"."
    memset(p + STAMP_SIZE, c"-", size - STAMP_SIZE)


cdef int stamp_get(const uint8_t* p, size_t size, Stamp* out) noexcept nogil:
    cdef uint64_t publisher = 0, sequence = 0
    if size < STAMP_SIZE or p[0] != c"q" or p[31] != c".":
        return 0
    if not (hex_get(p + 1, 6, &publisher) and hex_get(p + 7, 8, &sequence) and hex_get(p + 15, 16, &out.due_ns)):
        return 0
    out.publisher = <uint32_t>publisher
    out.sequence = <uint32_t>sequence
    return sequence != 0
