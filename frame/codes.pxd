"""The return vocabulary of every parser in this package; the contract stands in includes/codes.h."""

cdef extern from "frame/includes/codes.h":
    enum:
        NEED_MORE "QW_NEED_MORE"  # 0
        MALFORMED "QW_MALFORMED"  # -1
        TOO_BIG "QW_TOO_BIG"  # -2
