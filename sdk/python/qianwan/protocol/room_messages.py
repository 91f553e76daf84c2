"""EVENT ROOM_MESSAGES: what was said in one chatroom (docs/PROTOCOL.md, "What the server sends")."""

from __future__ import annotations

import logging
from typing import Any

from qianwan.constants import NAME_MAX, ROOM_PREFIX, MessageType, RoomShape
from qianwan.errors import ProtocolError
from qianwan.models import Message
from qianwan.protocol import varint
from qianwan.protocol.messages import decode

log = logging.getLogger("qianwan")
_LIMIT = 1 << 63
_FIELDS = 5  # type, body, options, ext, flags; later versions may append
_SHAPES = int(RoomShape.TEXT | RoomShape.SEQ)


def parse_room_messages(payload: bytes) -> list[Message]:
    """The messages, in their order, of what stands behind the kind; one whose content cannot be read is left
    out. Raises ProtocolError."""
    conversation, at = _slice(payload, 1, payload[0] if payload else 0)
    if not 0 < len(conversation) <= NAME_MAX:
        raise ProtocolError("room messages of no room")
    room = ROOM_PREFIX + _text(conversation)
    server_id = time_ms = 0
    senders: list[str] = []
    messages: list[Message] = []
    while at < len(payload):
        shape = payload[at]
        if shape > _SHAPES:
            raise ProtocolError("a room message has a shape that is not known")
        server_id, at = _difference(payload, at + 1, server_id)
        time_ms, at = _difference(payload, at, time_ms)
        sender, at = _sender(payload, at, senders)
        seq, at = varint.get(payload, at) if shape & RoomShape.SEQ else (0, at)
        size, at = varint.get(payload, at)
        content, at = _slice(payload, at, size)
        try:
            messages.append(_message(room, seq, server_id, time_ms, sender, shape, content))
        except ProtocolError as error:
            log.warning("message %d of %s: %s", server_id, room, error)
    return messages


def _message(
    room: str, seq: int, server_id: int, time_ms: int, sender: str, shape: int, content: bytes
) -> Message:
    if shape & RoomShape.TEXT:
        body: Any = {"text": _text(content)}
        return Message(room, seq, server_id, time_ms, sender, "", int(MessageType.TEXT), body, {})
    fields = decode(content)
    if not isinstance(fields, list) or len(fields) < _FIELDS:
        raise ProtocolError("the content of a room message cannot be read")
    kind, body, options, ext, flags = fields[:_FIELDS]
    whole = isinstance(kind, int) and isinstance(options, dict | None) and isinstance(ext, str | None)
    if not whole or not isinstance(flags, int):
        raise ProtocolError("the content of a room message cannot be read")
    return Message(room, seq, server_id, time_ms, sender, "", kind, body, options, ext, flags)


def _slice(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if size > len(data) - at:
        raise ProtocolError("a room message is cut off")
    return data[at : at + size], at + size


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a room message is not UTF-8") from error


def _difference(data: bytes, at: int, value: int) -> tuple[int, int]:
    written, at = varint.get(data, at)
    value += -(written + 1) // 2 if written & 1 else written // 2
    if not 0 <= value < _LIMIT:
        raise ProtocolError("a difference leads nowhere")
    return value, at


def _sender(data: bytes, at: int, senders: list[str]) -> tuple[str, int]:
    """A name that stands here, or one that stood before."""
    who, at = varint.get(data, at)
    number = who >> 1
    if who & 1:
        if number >= len(senders):
            raise ProtocolError("a room message is by nobody")
        return senders[number], at
    if number > NAME_MAX:
        raise ProtocolError("a name is too long")
    name, at = _slice(data, at, number)
    senders.append(_text(name))
    return senders[-1], at
