"""The layout mark of this package's shared structs and constants. Inline C: includes/layout.h.

A package that keeps these structs in its own modules exports `FRAME_LAYOUT = frame_layout()` from each of them and
compares it with `frame.LAYOUT` at import.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "frame/includes/layout.h" nogil:
    uint64_t frame_layout "qw_frame_layout"() noexcept
    uint32_t CONSTANTS_MARK "QW_CONSTANTS_MARK"
