"""Python face of the latency histogram: merge what processes report, read percentiles. See histogram.pxd."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cmodules cimport layout

import array

LAYOUT = layout()

UNIT_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3


cdef int hist_open(Hist* h) except -1:
    h.counts = <uint64_t*>calloc(HIST_CELLS, sizeof(uint64_t))
    h.total = 0
    h.max_us = 0
    if h.counts == NULL:
        raise MemoryError
    return 0


cdef void hist_close(Hist* h) noexcept nogil:
    free(h.counts)
    h.counts = NULL


cdef void hist_clear(Hist* h) noexcept nogil:
    memset(h.counts, 0, HIST_CELLS * sizeof(uint64_t))
    h.total = 0
    h.max_us = 0


cdef bytes hist_bytes(Hist* h):
    """max_us, then (cell, count) pairs of the cells in use, all native u64."""
    cdef int i
    out = array.array("Q", [h.max_us])
    for i in range(HIST_CELLS):
        if h.counts[i]:
            out.append(i)
            out.append(h.counts[i])
    return out.tobytes()


cdef uint64_t highest_of(int cell) noexcept nogil:
    """The largest value, in us, that lands in this cell."""
    cdef int bucket = (cell >> 10) - 1
    cdef uint64_t sub = (cell & (HIST_HALF - 1)) + HIST_HALF
    if bucket < 0:
        return <uint64_t>cell
    return ((sub + 1) << bucket) - 1


cdef class Histogram:
    """Merged latencies in microseconds."""

    cdef Hist h

    def __cinit__(self):
        hist_open(&self.h)

    def __dealloc__(self):
        hist_close(&self.h)

    def record(self, uint64_t us):
        hist_add_us(&self.h, us)

    def merge(self, bytes packed):
        """Add what another process packed with `pack`."""
        words = array.array("Q", packed)
        cdef uint64_t cell
        for i in range(1, len(words), 2):
            cell = words[i]
            if cell >= HIST_CELLS:
                raise ValueError("no such cell")
            self.h.counts[cell] += words[i + 1]
            self.h.total += words[i + 1]
        if words[0] > self.h.max_us:
            self.h.max_us = words[0]

    def pack(self):
        return hist_bytes(&self.h)

    @property
    def total(self):
        return self.h.total

    @property
    def max_us(self):
        return self.h.max_us

    def percentile(self, double percent):
        """The value in us that `percent` of all values do not exceed; 0 when empty."""
        cdef uint64_t wanted = <uint64_t>(percent / 100.0 * self.h.total + 0.5)
        cdef uint64_t seen = 0
        cdef int i
        if wanted < 1:
            wanted = 1
        if self.h.total == 0:
            return 0
        for i in range(HIST_CELLS):
            seen += self.h.counts[i]
            if seen >= wanted:
                return min(highest_of(i), self.h.max_us)
        return self.h.max_us
