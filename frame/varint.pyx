"""Python face of the varints, for tests and tools."""

from libc.stdint cimport uint8_t, uint64_t
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from cmodules cimport layout

from frame.errors import checked

LAYOUT = layout()


def encode(value):
    """The shortest encoding of 0 <= value < 2**64 (OverflowError otherwise)."""
    cdef uint8_t out[UV_MAX]
    cdef int n = uv_put(out, value)
    return out[:n]


def size(value):
    """Bytes that encode(value) takes, 1..10."""
    return uv_size(value)


def parse(data):
    """(bytes consumed, value), or (NEED_MORE | MALFORMED, None)."""
    cdef Py_buffer view
    cdef uint64_t value = 0
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = uv_get(<const uint8_t*> view.buf, view.len, &value)
    finally:
        PyBuffer_Release(&view)
    return (used, value) if used > 0 else (used, None)


def decode(data):
    """(value, bytes consumed); raises NeedMore or Malformed."""
    used, value = parse(data)
    return value, checked(used, "varint")
