"""Python face of the HTTP upgrade, for tests and tools."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING

from frame.constants cimport UPGRADE_MAX
from cmodules cimport layout

from frame.models import Upgrade as UpgradeTuple

LAYOUT = layout()


def parse(data, size_t max_bytes=UPGRADE_MAX, size_t seen=0):
    """(bytes of the head, Upgrade), or (NEED_MORE | MALFORMED | TOO_BIG, None).

    `seen`: how many of these bytes an earlier call was given and answered NEED_MORE.
    """
    cdef Py_buffer view
    cdef Upgrade out
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = upgrade_parse_more(<const uint8_t*> view.buf, view.len, seen, max_bytes, &out)
        if used <= 0:
            return used, None
        return used, UpgradeTuple(
            out.status,
            out.key[:24],
            bool(out.offers),
            bool(out.has_qw1),
            bool(out.known),
            out.path[: out.path_len],
            out.query[: out.query_len],
            out.origin[: out.origin_len] if out.origin_len else b"",
            out.host[: out.host_len] if out.host_len else b"",
        )
    finally:
        PyBuffer_Release(&view)


def build_response(bytes key not None, bint has_qw1):
    """The 101 response to a 24-character key."""
    cdef uint8_t answer[UPGRADE_RESPONSE_BYTES]
    cdef Upgrade request
    if len(key) != 24:
        raise ValueError("a key has 24 characters")
    memcpy(request.key, PyBytes_AS_STRING(key), 24)
    request.has_qw1 = has_qw1
    return answer[: upgrade_response_put(answer, &request)]


def build_refusal(int status):
    """A refusal without body: 400, 403, 404 or 426."""
    cdef uint8_t answer[UPGRADE_RESPONSE_BYTES]
    return answer[: upgrade_refusal_put(answer, status)]


def build_later(uint32_t retry_after_s):
    """The 503 of a server that takes no more now."""
    cdef uint8_t answer[UPGRADE_RESPONSE_BYTES]
    return answer[: upgrade_later_put(answer, retry_after_s)]
