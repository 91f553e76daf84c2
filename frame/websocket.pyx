"""Python face of the WebSocket codec, for tests and tools."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from cmodules cimport layout
from frame.utf8 cimport utf8_valid as is_utf8

from frame.models import WsHeader as WsHeaderTuple

LAYOUT = layout()


def parse_header(data, uint64_t max_payload=0x7FFFFFFFFFFFFFFF):
    """(bytes of the header, WsHeader), or (NEED_MORE | MALFORMED | TOO_BIG, None)."""
    cdef Py_buffer view
    cdef WsHeader out
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = ws_header_parse(<const uint8_t*> view.buf, view.len, max_payload, &out)
    finally:
        PyBuffer_Release(&view)
    if used <= 0:
        return used, None
    return used, WsHeaderTuple(out.opcode, bool(out.fin), out.mask[:WS_MASK_BYTES] if out.masked else None, out.payload_len)


def build_header(int opcode, uint64_t payload_len, bytes mask=None):
    """Header of a final frame; masked (client side) when a 4-byte mask is given."""
    cdef uint8_t head[WS_HEADER_BYTES]
    if mask is None:
        return head[: ws_header_put(head, opcode, payload_len)]
    if len(mask) != WS_MASK_BYTES:
        raise ValueError("a mask has 4 bytes")
    return head[: ws_header_put_masked(head, opcode, payload_len, <const uint8_t*> PyBytes_AS_STRING(mask))]


def apply_mask(bytes data not None, bytes mask not None, uint64_t offset=0, size_t misalign=0):
    """data XOR mask, as if `offset` bytes of the frame came before; worked at an address `misalign` bytes off."""
    if len(mask) != WS_MASK_BYTES:
        raise ValueError("a mask has 4 bytes")
    turned = PyBytes_FromStringAndSize(NULL, misalign + len(data))
    cdef uint8_t* at = <uint8_t*> PyBytes_AS_STRING(turned) + misalign
    cdef const uint8_t* source = <const uint8_t*> PyBytes_AS_STRING(data)
    cdef size_t i, n = len(data)
    for i in range(n):
        at[i] = source[i]
    ws_mask(at, n, <const uint8_t*> PyBytes_AS_STRING(mask), offset)
    return at[:n]


def sequence(int message, int opcode, bint fin):
    """(1 | MALFORMED, opcode of the message under way afterwards, 0 for none)."""
    cdef uint8_t state = message
    cdef WsHeader header
    header.opcode, header.fin = opcode, fin
    return ws_sequence(&state, &header), state


def parse_close(data):
    """(1, code) of a close payload (1005 when empty), or (MALFORMED, the code to answer: 1002 or 1007)."""
    cdef Py_buffer view
    cdef uint16_t code = 0
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return ws_close_parse(<const uint8_t*> view.buf, view.len, &code), code
    finally:
        PyBuffer_Release(&view)


def utf8_valid(data):
    """Is data whole, valid UTF-8?"""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return bool(is_utf8(<const uint8_t*> view.buf, view.len))
    finally:
        PyBuffer_Release(&view)
