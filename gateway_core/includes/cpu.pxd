from libc.stdint cimport uint64_t


cdef extern from "gateway_core/includes/cpu.h" nogil:
    uint64_t qw_cycles() noexcept
    void qw_prefetch(const void* p) noexcept
    int qw_ctz64(uint64_t v) noexcept
    int qw_log2(uint64_t v) noexcept
    uint64_t qw_hash(const void* data, size_t n, uint64_t seed) noexcept
