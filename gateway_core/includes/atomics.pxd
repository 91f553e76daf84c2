from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "gateway_core/includes/atomics.h" nogil:
    uint32_t qw_load32(const uint32_t* p) noexcept
    uint64_t qw_load64(const uint64_t* p) noexcept
    void qw_store32(uint32_t* p, uint32_t v) noexcept
    void qw_store64(uint64_t* p, uint64_t v) noexcept
    uint32_t qw_add32(uint32_t* p, uint32_t v) noexcept  # the new value
    uint32_t qw_sub32(uint32_t* p, uint32_t v) noexcept  # the new value
    int64_t qw_count64(int64_t* p, int64_t v) noexcept  # relaxed; the new value
    uint32_t qw_swap32(uint32_t* p, uint32_t v) noexcept  # the old value
    bint qw_cas64(uint64_t* p, uint64_t old, uint64_t v) noexcept
    void* qw_load_ptr(void** p) noexcept
    bint qw_cas_ptr(void** p, void* old, void* v) noexcept
    void qw_fence() noexcept
