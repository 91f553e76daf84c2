"""Python face of the records, for tests and tools."""

from libc.stdint cimport uint8_t
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from cmodules cimport layout

from frame.errors import TooBig

LAYOUT = layout()


def parse(data, size_t min_len=17, size_t max_len=65535):
    """(bytes consumed, sealed bytes), or (NEED_MORE | MALFORMED | TOO_BIG, None)."""
    cdef Py_buffer view
    cdef size_t sealed_len = 0
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = record_parse(<const uint8_t*> view.buf, view.len, min_len, max_len, &sealed_len)
        if used <= 0:
            return used, None
        return used, (<const uint8_t*> view.buf)[2 : 2 + sealed_len]
    finally:
        PyBuffer_Release(&view)


def build(bytes sealed not None):
    """The record around sealed bytes; raises TooBig above 65535."""
    cdef uint8_t head[RECORD_HEADER_BYTES]
    if len(sealed) > 65535:
        raise TooBig("record")
    put_u16(head, len(sealed))
    return head[:RECORD_HEADER_BYTES] + sealed
