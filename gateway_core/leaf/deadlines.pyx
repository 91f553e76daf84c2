from libc.stdint cimport uint32_t

from cmodules cimport layout
from gateway_core.includes.sys cimport qw_map, qw_unmap

LAYOUT = layout()

cdef enum:
    BLOCK = 64


cdef int deadlines_init(Deadlines* d, uint32_t cap) noexcept nogil:
    d.cap = cap
    d.scan_s = d.scan_at = d.scan_end = 0
    d.at = <uint32_t*>qw_map(<size_t>cap * sizeof(uint32_t))
    return 0 if d.at != NULL else -1


cdef void deadlines_free(Deadlines* d) noexcept nogil:
    qw_unmap(d.at, <size_t>d.cap * sizeof(uint32_t))
    d.at = NULL


cdef uint32_t deadlines_due(Deadlines* d, uint32_t now_s, uint32_t slots, uint32_t* due, uint32_t most) noexcept nogil:
    cdef uint32_t* at = d.at
    cdef uint32_t i = d.scan_at, stop = d.scan_at + slots if d.scan_end - d.scan_at > slots else d.scan_end
    cdef uint32_t j, block, hit, n = 0
    while i < stop and n + BLOCK <= most:
        block = BLOCK if stop - i >= BLOCK else stop - i
        # 0 (no deadline) wraps to the largest value: one compare per slot, which the compiler turns into SIMD
        hit = 0
        for j in range(block):
            hit |= <uint32_t>(<uint32_t>(at[i + j] - 1) < now_s)
        if hit:
            for j in range(block):
                if <uint32_t>(at[i + j] - 1) < now_s:
                    due[n] = i + j
                    n += 1
        i += block
    d.scan_at = i
    return n
