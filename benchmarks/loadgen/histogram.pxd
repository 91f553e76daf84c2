"""Latency histogram with the bucket layout of HdrHistogram: unit 1 us, up to 1 hour, 3 significant digits.

Value v us lands in bucket b = max(0, bit_length(v | 2047) - 11), sub-bucket s = v >> b (1024 <= s < 2048 for
b > 0), at counts[((b + 1) << 10) + s - 1024]. Every value is known to within 0.1 %.
"""

from libc.stdint cimport uint64_t

cdef enum:
    HIST_SUB_BITS = 11                  # 2048 sub-buckets: 3 significant digits
    HIST_HALF = 1024
    HIST_BUCKETS = 22                   # 2048 << 21 us > 1 hour
    HIST_CELLS = (HIST_BUCKETS + 1) * HIST_HALF

cdef extern from *:
    """
    static inline int qw_bit_length64(unsigned long long v) { return 64 - __builtin_clzll(v); }
    """
    int bit_length64 "qw_bit_length64"(uint64_t v) noexcept nogil

cdef struct Hist:
    uint64_t* counts                    # HIST_CELLS, owned
    uint64_t total
    uint64_t max_us

cdef int hist_open(Hist* h) except -1
cdef void hist_close(Hist* h) noexcept nogil
cdef void hist_clear(Hist* h) noexcept nogil
cdef bytes hist_bytes(Hist* h)

cdef inline void hist_add_many(Hist* h, uint64_t us, uint64_t times) noexcept nogil:
    cdef int bucket
    if us > <uint64_t>3600000000ULL:
        us = <uint64_t>3600000000ULL
    bucket = bit_length64(us | 2047) - HIST_SUB_BITS
    h.counts[(((bucket + 1) << 10) + (us >> bucket)) - HIST_HALF] += times
    h.total += times
    if us > h.max_us:
        h.max_us = us

cdef inline void hist_add_us(Hist* h, uint64_t us) noexcept nogil:
    """Count one value; above one hour it is counted as one hour."""
    hist_add_many(h, us, 1)

cdef inline void hist_add_ns(Hist* h, uint64_t later, uint64_t earlier) noexcept nogil:
    """Count later - earlier, two CLOCK_MONOTONIC readings in ns; a negative span counts as 0."""
    hist_add_us(h, (later - earlier) // 1000 if later > earlier else 0)
