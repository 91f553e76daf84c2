"""Liveness: one packed array of seconds, scanned in slices; no timer per connection."""

from libc.stdint cimport uint32_t

cdef struct Deadlines:
    uint32_t* at  # by slot: the second from which on it is due, 0 = none
    uint32_t cap
    uint32_t scan_s  # second of the scan under way
    uint32_t scan_at
    uint32_t scan_end

cdef int deadlines_init(Deadlines* d, uint32_t cap) noexcept nogil  # 0, or -1 without memory
cdef void deadlines_free(Deadlines* d) noexcept nogil
# Looks at up to `slots` more of them and writes those that are due. How many (<= most, which is 64 at least).
cdef uint32_t deadlines_due(Deadlines* d, uint32_t now_s, uint32_t slots, uint32_t* due, uint32_t most) noexcept nogil


cdef inline bint deadlines_scanning(Deadlines* d) noexcept nogil:
    return d.scan_at < d.scan_end


# Begins a scan of the slots below `high`, once a second; 0 when there is nothing to scan.
cdef inline bint deadlines_begin(Deadlines* d, uint32_t high, uint32_t now_s) noexcept nogil:
    if not deadlines_scanning(d):
        if d.scan_s == now_s:
            return False
        d.scan_s = now_s
        d.scan_at = 0
        d.scan_end = high
    return True


cdef inline void deadline_set(Deadlines* d, uint32_t slot, uint32_t at_s) noexcept nogil:
    d.at[slot] = at_s


# Not later than at_s; an earlier one stays.
cdef inline void deadline_cap(Deadlines* d, uint32_t slot, uint32_t at_s) noexcept nogil:
    if d.at[slot] > at_s:
        d.at[slot] = at_s
