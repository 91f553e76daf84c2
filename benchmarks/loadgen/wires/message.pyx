"""Messages in msgpack: see message.pxd. The reader is one pass, with limits and without recursion."""

from libc.string cimport memcmp, memcpy

from benchmarks.loadgen.stamp cimport stamp_put
from cmodules cimport layout

LAYOUT = layout()

cdef const uint8_t* DIGITS = b"0123456789abcdef"
cdef const uint8_t* ONLINE_ONLY = b"\x81\xaaonlineOnly\xc3"


cdef inline uint64_t big_endian(const uint8_t* p, int size) noexcept nogil:
    cdef uint64_t v = 0
    cdef int i
    for i in range(size):
        v = (v << 8) | p[i]
    return v


cdef ptrdiff_t header(const uint8_t* p, size_t n, uint64_t* inside, uint64_t* items) noexcept nogil:
    """Size of one value's head; `inside`: bytes of data after it, `items`: values after it. -1 malformed."""
    cdef uint8_t b
    cdef int size
    if n == 0:
        return -1
    b = p[0]
    inside[0] = 0
    items[0] = 0
    if b <= 0x7F or b >= 0xE0 or b == 0xC0 or b == 0xC2 or b == 0xC3:
        return 1
    if b <= 0x8F:
        items[0] = 2 * (b & 15)
        return 1
    if b <= 0x9F:
        items[0] = b & 15
        return 1
    if b <= 0xBF:
        inside[0] = b & 31
        return 1
    if 0xCC <= b <= 0xD3 or b == 0xCA or b == 0xCB:
        inside[0] = (4 if b == 0xCA else 8) if b < 0xCC else <uint64_t>1 << ((b - 0xCC) & 3)
        return 1
    if 0xD4 <= b <= 0xD8:
        inside[0] = 1 + (<uint64_t>1 << (b - 0xD4))
        return 1
    if b == 0xC1:
        return -1
    if 0xC4 <= b <= 0xC9:
        size = 1 << ((b - 0xC4) % 3)
    elif 0xD9 <= b <= 0xDB:
        size = 1 << (b - 0xD9)
    else:
        size = 2 << ((b - 0xDC) & 1)
    if n < <size_t>(1 + size):
        return -1
    if b >= 0xDC:
        items[0] = big_endian(p + 1, size) * (2 if b >= 0xDE else 1)
    else:
        inside[0] = big_endian(p + 1, size) + (1 if 0xC7 <= b <= 0xC9 else 0)
    return 1 + size


cdef ptrdiff_t skip(const uint8_t* p, size_t n) noexcept nogil:
    """Size of one whole value, nested ones included; -1 malformed or cut short."""
    cdef size_t at = 0
    cdef uint64_t left = 1, inside = 0, items = 0
    cdef ptrdiff_t head
    while left:
        head = header(p + at, n - at, &inside, &items)
        if head < 0 or inside > n - at - <size_t>head or items > n:
            return -1
        at += <size_t>head + inside
        left += items - 1
    return <ptrdiff_t>at


cdef int message_text(const uint8_t* p, size_t n, const uint8_t** text, size_t* size) noexcept nogil:
    cdef size_t at = 1
    cdef ptrdiff_t step
    cdef uint64_t inside = 0, items = 0
    cdef int field, found = 0
    if n < 2 or p[0] != 0x9B:
        return -1
    for field in range(11):
        if field == 7 and n - at > 6 and p[at] == 0x81 and memcmp(p + at + 1, b"\xa4text", 5) == 0:
            step = header(p + at + 6, n - at - 6, &inside, &items)
            if step < 0 or items or inside > n - at - 6 - <size_t>step:
                return -1
            text[0] = p + at + 6 + step
            size[0] = inside
            at += 6 + <size_t>step + inside
            found = 1
            continue
        step = skip(p + at, n - at)
        if step < 0:
            return -1
        at += <size_t>step
    return found if at == n else -1


cdef inline size_t string_head(uint8_t* p, size_t n) noexcept nogil:
    if n < 32:
        p[0] = <uint8_t>(0xA0 | n)
        return 1
    if n < 256:
        p[0] = 0xD9
        p[1] = <uint8_t>n
        return 2
    p[0] = 0xDA
    p[1] = <uint8_t>(n >> 8)
    p[2] = <uint8_t>n
    return 3


cdef inline void hex_put(uint8_t* p, int digits, uint32_t v) noexcept nogil:
    cdef int i
    for i in range(digits - 1, -1, -1):
        p[i] = DIGITS[v & 15]
        v >>= 4


cdef size_t send_put(uint8_t* p, uint32_t run, const Stamp* stamp, size_t size, int online_only) noexcept nogil:
    cdef size_t at = 2
    p[0] = 0x95
    p[1] = 0xA0 | 22
    hex_put(p + at, 8, run)
    hex_put(p + at + 8, 6, stamp.publisher)
    hex_put(p + at + 14, 8, stamp.sequence)
    at += 22
    p[at] = 0
    memcpy(p + at + 1, b"\x81\xa4text", 6)
    at += 7
    at += string_head(p + at, size)
    stamp_put(p + at, size, stamp)
    at += size
    if online_only:
        memcpy(p + at, ONLINE_ONLY, 13)
        at += 13
    else:
        p[at] = 0xC0
        at += 1
    p[at] = 0xC0
    return at + 1


cdef size_t room_put(uint8_t* p, const uint8_t* topic, size_t n) noexcept nogil:
    cdef size_t at
    memcpy(p, b"\x81\xa4room", 6)
    at = 6 + string_head(p + 6, n - 2)
    memcpy(p + at, topic + 2, n - 2)
    return at + n - 2
