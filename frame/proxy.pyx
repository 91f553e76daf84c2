"""Python face of the PROXY v2 parser, for tests and tools."""

from libc.stdint cimport uint8_t
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from cmodules cimport layout

from frame.models import ProxyHeader as ProxyTuple

LAYOUT = layout()


def parse(data):
    """(bytes of the header, ProxyHeader), or (NEED_MORE | MALFORMED | TOO_BIG, None)."""
    cdef Py_buffer view
    cdef ProxyHeader out
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = proxy_v2_parse(<const uint8_t*> view.buf, view.len, &out)
    finally:
        PyBuffer_Release(&view)
    if used <= 0:
        return used, None
    cdef size_t width = 0 if out.family == 0 else 4 if out.family == 4 else 16
    source, target = out.source[:width], out.target[:width]
    return used, ProxyTuple(out.family, bool(out.local), source, out.source_port, target, out.target_port)
