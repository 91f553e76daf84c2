from libc.stdint cimport uint32_t

from gateway_core.types cimport layout_mark

LAYOUT = layout_mark()

cdef enum:
    BLOCK = 64


cdef uint32_t scan_slice(const uint32_t* deadlines, uint32_t* at, uint32_t end, uint32_t now_s, uint32_t slots,
                         uint32_t* expired, uint32_t room) noexcept nogil:
    cdef uint32_t i = at[0], stop = at[0] + slots if end - at[0] > slots else end
    cdef uint32_t j, block, hit, n = 0
    while i < stop and n + BLOCK <= room:
        block = BLOCK if stop - i >= BLOCK else stop - i
        # 0 (no deadline) wraps to the largest value: one compare per slot, which the compiler turns into SIMD
        hit = 0
        for j in range(block):
            hit |= <uint32_t>(<uint32_t>(deadlines[i + j] - 1) < now_s)
        if hit:
            for j in range(block):
                if <uint32_t>(deadlines[i + j] - 1) < now_s:
                    expired[n] = i + j
                    n += 1
        i += block
    at[0] = i
    return n
