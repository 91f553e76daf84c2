"""Python face of preamble, TLVs and REJECT, for tests and tools."""

from libc.stdint cimport uint8_t
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from cmodules cimport layout
from frame.constants cimport PREAMBLE_SIZE

from frame.errors import Malformed, TooBig
from frame.models import Preamble as PreambleTuple
from frame.varint import encode

LAYOUT = layout()


def parse(data):
    """(8, Preamble), or (NEED_MORE | MALFORMED, None). Only the magic is judged."""
    cdef Py_buffer view
    cdef Preamble out
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = preamble_parse(<const uint8_t*> view.buf, view.len, &out)
    finally:
        PyBuffer_Release(&view)
    if used <= 0:
        return used, None
    return used, PreambleTuple(out.version, out.pattern, out.suite, out.flags, out.key_id)


def parse_flight(data):
    """(bytes consumed, (prologue, ticket or None, message)) of a first flight, or (NEED_MORE | MALFORMED | TOO_BIG, None)."""
    cdef Py_buffer view
    cdef Flight out
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = flight_parse(<const uint8_t*> view.buf, view.len, &out)
        if used <= 0:
            return used, None
        ticket = None if out.ticket == NULL else out.ticket[: out.ticket_len]
        return used, ((<const uint8_t*> view.buf)[: out.prologue_len], ticket, out.message[: out.message_len])
    finally:
        PyBuffer_Release(&view)


def build(int version, int pattern, int suite, int flags, int key_id):
    """The 8 bytes, which are the Noise prologue too."""
    cdef uint8_t out[PREAMBLE_SIZE]
    cdef Preamble value
    value.version, value.pattern, value.suite, value.flags, value.key_id = version, pattern, suite, flags, key_id
    return out[: preamble_put(out, &value)]


def parse_tlvs(data):
    """[(tag, value)] of a whole handshake payload; raises Malformed when a TLV is cut off."""
    cdef Py_buffer view
    cdef Tlv out
    cdef ptrdiff_t used
    cdef size_t at = 0
    found = []
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        while at < <size_t> view.len:
            used = tlv_parse(<const uint8_t*> view.buf + at, view.len - at, &out)
            if used <= 0:
                raise Malformed("TLV")
            found.append((out.tag, out.value[: out.value_len]))
            at += used
    finally:
        PyBuffer_Release(&view)
    return found


def build_tlvs(pairs):
    """The payload holding (tag, value) pairs in their order."""
    return b"".join(encode(tag) + encode(len(value)) + value for tag, value in pairs)


def build_reject(int code, bytes data=b""):
    """A whole REJECT; raises TooBig when data is above 65535 bytes."""
    cdef uint8_t head[REJECT_HEADER_BYTES]
    if len(data) > 65535:
        raise TooBig("REJECT data")
    return head[: reject_header_put(head, code, len(data))] + data
