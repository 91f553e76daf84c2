"""Python face of frames and of the bodies the gateway reads, for tests and tools."""

from libc.stdint cimport uint8_t, uint64_t
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from frame.codes cimport TOO_BIG
from frame.constants cimport FLAG_ACK, FLAG_COMPRESSED, MAX_BODY
from frame.room_messages cimport RoomMessage, room_head_parse, room_message_parse
from cmodules cimport layout

from frame.errors import Malformed, TooBig
from frame.models import AuthBody as AuthTuple
from frame.models import Frame as FrameTuple
from frame.models import Ping as PingTuple
from frame.models import Reply as ReplyTuple
from frame.models import Request as RequestTuple
from frame.models import RoomMessage as RoomMessageTuple

cdef extern from "frame/includes/constants.h":
    unsigned int BUILT_MARK "QW_CONSTANTS_MARK"

LAYOUT = layout()
CONSTANTS_MARK = BUILT_MARK


def parse(data, size_t max_body=MAX_BODY):
    """(bytes consumed, Frame), or (NEED_MORE | MALFORMED | TOO_BIG, None)."""
    cdef Py_buffer view
    cdef Frame out
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        used = frame_parse(<const uint8_t*> view.buf, view.len, max_body, &out)
        if used <= 0:
            return used, None
        ack = out.ack if out.flags & FLAG_ACK else None
        return used, FrameTuple(out.type, bool(out.flags & FLAG_COMPRESSED), ack, out.body[: out.body_len])
    finally:
        PyBuffer_Release(&view)


def build(int type, bytes body=b"", ack=None, bint compressed=False):
    """The frame; `ack` sets the A flag, `compressed` the Z flag."""
    cdef uint8_t head[FRAME_HEADER_BYTES]
    cdef int flags = (FLAG_COMPRESSED if compressed else 0) | (0 if ack is None else FLAG_ACK)
    return head[: frame_header_put(head, type, flags, 0 if ack is None else ack, len(body))] + body


def parse_request(data):
    """Body of SEND or CALL; raises Malformed."""
    cdef Py_buffer view
    cdef Request out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if request_parse(<const uint8_t*> view.buf, view.len, &out) < 1:
            raise Malformed("request")
        return RequestTuple(out.request, out.name[: out.name_len], out.payload[: out.payload_len])
    finally:
        PyBuffer_Release(&view)


def parse_reply(data):
    """Body of SEND_ACK or RETURN; raises Malformed."""
    cdef Py_buffer view
    cdef Reply out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if reply_parse(<const uint8_t*> view.buf, view.len, &out) < 1:
            raise Malformed("reply")
        return ReplyTuple(out.request, out.code, out.payload[: out.payload_len])
    finally:
        PyBuffer_Release(&view)


def build_reply(request, code, bytes payload=b""):
    """Body of SEND_ACK or RETURN."""
    cdef uint8_t head[REPLY_HEADER_BYTES]
    return head[: reply_header_put(head, request, code)] + payload


def parse_auth(data):
    """Body of AUTH; raises Malformed."""
    cdef Py_buffer view
    cdef AuthBody out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if auth_parse(<const uint8_t*> view.buf, view.len, &out) < 1:
            raise Malformed("AUTH")
        return AuthTuple(
            out.kind,
            out.token[: out.token_len],
            out.binding[: out.binding_len],
            out.device[: out.device_len],
            out.platform,
            out.extras[: out.extras_len],
        )
    finally:
        PyBuffer_Release(&view)


def parse_ping(data):
    """Body of PING; raises Malformed."""
    cdef Py_buffer view
    cdef Ping out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if ping_parse(<const uint8_t*> view.buf, view.len, &out) < 1:
            raise Malformed("PING")
    finally:
        PyBuffer_Release(&view)
    return PingTuple(out.state, out.next_interval_s)


def parse_compressed(data):
    """(raw_len, zstd frame) of a body with the Z flag; raises Malformed, or TooBig by size or ratio."""
    cdef Py_buffer view
    cdef Compressed out
    cdef int result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        result = compressed_parse(<const uint8_t*> view.buf, view.len, &out)
        if result < 1:
            raise TooBig("compressed body") if result == TOO_BIG else Malformed("compressed body")
        return out.raw_len, out.packed[: out.packed_len]
    finally:
        PyBuffer_Release(&view)


def parse_room_messages(data):
    """(room, messages) of an EVENT ROOM_MESSAGES; raises Malformed."""
    cdef Py_buffer view
    cdef RoomMessage m
    cdef const uint8_t* room
    cdef const uint8_t* p
    cdef size_t room_len, at
    cdef ptrdiff_t used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        p = <const uint8_t*> view.buf
        used = room_head_parse(p, view.len, &room, &room_len)
        if used < 0:
            raise Malformed("ROOM_MESSAGES")
        at = <size_t> used
        senders, messages = [], []
        m.server_id = m.time_ms = 0
        while at < <size_t> view.len:
            used = room_message_parse(p + at, view.len - at, &m)
            if used < 0 or (m.sender == NULL and m.sender_at >= <size_t> len(senders)):
                raise Malformed("ROOM_MESSAGES")
            at += <size_t> used
            if m.sender != NULL:
                m.sender_at = len(senders)
                senders.append(m.sender[: m.sender_len])
            sender = senders[m.sender_at]
            messages.append(
                RoomMessageTuple(m.shape, m.server_id, m.time_ms, sender, m.seq, m.content[: m.content_len])
            )
        return room[: room_len], messages
    finally:
        PyBuffer_Release(&view)
