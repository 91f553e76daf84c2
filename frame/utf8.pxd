"""UTF-8 validity (RFC 3629). Inline C: includes/utf8.h."""

from libc.stdint cimport uint8_t


cdef extern from "frame/includes/utf8.h" nogil:
    bint utf8_valid "qw_utf8_valid"(const uint8_t* p, size_t n) noexcept
