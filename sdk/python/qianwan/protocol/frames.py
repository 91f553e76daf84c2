"""Frames: `u8 head | [uv ack] | uv body_len | body`, several to a record (docs/PROTOCOL.md, "Frames")."""

from __future__ import annotations

from typing import NamedTuple

from qianwan import constants as c
from qianwan.constants import FrameType
from qianwan.errors import ProtocolError
from qianwan.protocol import varint
from qianwan.protocol.dictionaries import Dictionaries


class Frame(NamedTuple):
    """A received frame; `ack` is None without the A flag; `body` is already decompressed."""

    type: int
    ack: int | None
    body: bytes


_KNOWN_FROM_SERVER = frozenset(
    {
        FrameType.PING,
        FrameType.PONG,
        FrameType.ACK,
        FrameType.AUTH_OK,
        FrameType.MSG,
        FrameType.EVENT,
        FrameType.SEND_ACK,
        FrameType.RETURN,
        FrameType.POLICY,
        FrameType.REKEY,
        FrameType.TICKET,
        FrameType.GOAWAY,
        FrameType.CLOSE,
        FrameType.ERROR,
        FrameType.RESUME_OK,
        FrameType.RESUME_FAIL,
        FrameType.DICTIONARY,
    }
)
_NEVER_COMPRESSED = frozenset({FrameType.AUTH, FrameType.AUTH_OK, FrameType.TICKET})
_NONE = Dictionaries()


def pack(kind: int, body: bytes = b"", ack: int | None = None, *, compressed: bool = False) -> bytes:
    """One frame. `compressed` says that `body` already is `uv raw_len | zstd frame`."""
    if len(body) > c.MAX_BODY:
        raise ValueError(f"a frame body holds at most {c.MAX_BODY} bytes")
    head = kind | (c.FLAG_COMPRESSED if compressed else 0)
    if ack is None:
        return bytes((head,)) + varint.put(len(body)) + body
    return bytes((head | c.FLAG_ACK,)) + varint.put(ack) + varint.put(len(body)) + body


def parse(plain: bytes, dictionaries: Dictionaries = _NONE) -> list[Frame]:
    """All frames of one record, skippable unknown ones left out; raises ProtocolError."""
    frames = []
    at, end = 0, len(plain)
    while at < end:
        head = plain[at]
        at += 1
        ack = None
        if head & c.FLAG_ACK:
            ack, at = varint.get(plain, at)
        if at < end and plain[at] < 0x80:
            size = plain[at]
            at += 1
        else:
            size, at = varint.get(plain, at)
        stop = at + size
        if head & c.FLAG_RESERVED or size > c.MAX_BODY or stop > end:
            raise ProtocolError("a frame has a reserved bit, or is longer than its record")
        kind = head & c.FRAME_TYPE_MASK
        body = plain[at:stop]
        at = stop
        if kind in _KNOWN_FROM_SERVER:
            if head & c.FLAG_COMPRESSED:
                if kind in _NEVER_COMPRESSED:
                    raise ProtocolError(f"frame type {kind} is never compressed")
                body = decompress(body, dictionaries)
            frames.append(Frame(kind, ack, body))
        elif kind < c.TYPE_SKIPPABLE_FIRST:
            raise ProtocolError(f"frame type {kind} is not for clients")
    if not end:
        raise ProtocolError("a record without frames")
    return frames


def decompress(body: bytes, dictionaries: Dictionaries = _NONE) -> bytes:
    """The raw body of a compressed frame; both limits are checked before anything is allocated."""
    raw_len, at = varint.get(body, 0)
    packed = body[at:]
    if raw_len > c.MAX_RAW_BODY or raw_len > c.MAX_RATIO * len(packed):
        raise ProtocolError("a compressed body claims too much")
    return dictionaries.decompress(packed, raw_len)
