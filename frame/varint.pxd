"""uv: unsigned LEB128 varints, 1..10 bytes, the shortest encoding only. Inline C: includes/varint.h."""

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "frame/includes/varint.h" nogil:
    enum:
        UV_MAX "QW_UV_MAX"  # bytes of the longest encoding

    int uv_put "qw_uv_put"(uint8_t* p, uint64_t v) noexcept  # writes 1..10 bytes, returns the count
    int uv_size "qw_uv_size"(uint64_t v) noexcept
    int uv_get "qw_uv_get"(const uint8_t* p, size_t n, uint64_t* out) noexcept  # > 0, NEED_MORE, MALFORMED
