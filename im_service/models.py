"""Bodies on the wire between SDK and service: array-like on the hot path, maps for calls.

`Message` is [conversation, seq, server_id, time_ms, sender, client_id, type, body, options, ext, flags].
The store keeps body, options and ext as their three encodings one after the other ("payload"), so a
message is put together for the wire without decoding anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from frame.constants import ROOM_PREFIX, EventKind, MessageType, RoomShape
from im_service.errors import UNDECODABLE, Code, ImError
from im_service.grammar import MAX_PAYLOAD, is_plain_text, readable
from im_service.storage.records import (
    EDITED,
    FILTERED,
    RECALLED,
    Role,
    StoredMessage,
)

MAX_EXT = 4096  # characters
MAX_CLIENT_ID = 64  # characters

NIL = b"\xc0"
EMPTY_MAP = b"\x80"
NOTHING = NIL + EMPTY_MAP + NIL
"""Payload of a message without content: placeholders."""
ARRAY_11 = b"\x9b"
PLAIN_FLAGS = b"\x00"

ClientId = Annotated[str, Meta(min_length=1, max_length=MAX_CLIENT_ID)]
WireMessage = Annotated[Raw, Meta(title="Message")]
"""A Message as encoded bytes, in the answer of a method."""
Data = Mapping[str, object] | Struct
"""What an event or notice says besides its name: a map of what msgpack can carry, or its Struct."""
ROLE_NAMES: Mapping[Role, str] = {role: role.name.lower() for role in Role}
"""Roles as the wire has them, in groups and chatrooms."""


class SendRequest(Struct, array_like=True, gc=False):
    """Payload of SEND: [client_id, type, body, options|nil, ext|nil]."""

    client_id: ClientId
    type: int
    body: Raw
    options: Raw = Raw(NIL)
    ext: Annotated[str, Meta(max_length=MAX_EXT)] | None = None


class Message(Struct, array_like=True, gc=False):
    """A message as it is delivered (for readers; the hot path writes these bytes without building one)."""

    conversation: str
    seq: int
    server_id: int
    time_ms: int
    sender: str
    client_id: str
    type: int
    body: Any
    options: dict[str, Any]
    ext: str | None
    flags: int


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_send = msgspec.msgpack.Decoder(SendRequest).decode
decode_message = msgspec.msgpack.Decoder(Message).decode


class _Payload(Struct, array_like=True, gc=False):
    body: Raw
    options: Raw
    ext: str | None


_decode_payload = msgspec.msgpack.Decoder(_Payload).decode


def pack_payload(body: bytes | Raw, options: bytes = EMPTY_MAP, ext: str | None = None) -> bytes:
    """The stored form: three encodings one after the other. 414 for what no answer could carry later."""
    payload = b"".join((body, options, NIL if ext is None else encode(ext)))
    if len(payload) > MAX_PAYLOAD:
        raise ImError(
            Code.INVALID, f"body, options and ext have {len(payload)} bytes, the limit is {MAX_PAYLOAD}"
        )
    return payload


def unpack_payload(payload: bytes) -> tuple[bytes, bytes, str | None]:
    """(body, options, ext) of a stored payload."""
    parts = _decode_payload(b"\x93" + (payload or NOTHING))
    return bytes(parts.body), bytes(parts.options), parts.ext


def message_bytes(
    conversation: str,
    seq: int,
    server_id: int,
    time_ms: int,
    sender: str,
    client_id: str,
    type: int,
    payload: bytes,
    flags: int = 0,
) -> bytes:
    """A Message on the wire. The head is encoded as a tuple of seven; its array byte is replaced by that
    of eleven."""
    head = encode((conversation, seq, server_id, time_ms, sender, client_id, type))
    return b"".join((ARRAY_11, memoryview(head)[1:], payload, encode(flags)))


def stored_bytes(row: StoredMessage) -> bytes:
    """A stored row on the wire; a placeholder says nothing but its seq and time. A row of an earlier version
    that not everybody could decode comes as what it is (grammar.readable)."""
    if row.flags & FILTERED:
        return message_bytes(row.conversation, row.seq, 0, row.time_ms, "", "", 0, NOTHING, FILTERED)
    type, payload = _told(row.type, row.payload)
    return message_bytes(
        row.conversation,
        row.seq,
        row.server_id,
        row.time_ms,
        row.sender,
        row.client_id,
        type,
        payload,
        row.flags & (RECALLED | EDITED),
    )


def _told(type: int, payload: bytes) -> tuple[int, bytes]:
    """Type and payload of a stored row as everybody can read them."""
    if not payload or is_plain_text(type, payload):
        return type, payload or NOTHING
    try:
        body, options, ext = unpack_payload(payload)
    except UNDECODABLE:
        body, options, ext = payload, EMPTY_MAP, None
    content = readable(type, body)
    if content.body is body and len(payload) <= MAX_PAYLOAD:
        return type, payload
    fits = len(payload) <= MAX_PAYLOAD // 2
    return content.type, pack_payload(content.body, options if fits else EMPTY_MAP, ext if fits else None)


def plain(value: object) -> object:
    """As JSON has it: keys are text, bytes become base64, numbers that JSON has not become null."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return msgspec.to_builtins(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


_NOTICE = bytes([EventKind.NOTICE])
_SYNC = bytes([EventKind.SYNC])
_PRESENCE = bytes([EventKind.PRESENCE])


def _uv(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_KIND_ROOM = bytes([EventKind.ROOM_MESSAGES])
_TEXT_ALONE = b"\x81\xa4text"
_TEXT = int(MessageType.TEXT)
_STR_HEADS = {0xD9: 2, 0xDA: 3}
"""Bytes before the text of a long string, by its first byte; a text in a chatroom needs no more than two for
its length (bodies.MAX_ROOM_BYTES)."""


class _Said(Struct, array_like=True, gc=False):
    """A Message whose content stays encoded."""

    conversation: str
    seq: int
    server_id: int
    time_ms: int
    sender: str
    client_id: str
    type: int
    body: Raw
    options: Raw
    ext: Raw
    flags: int


_decode_said = msgspec.msgpack.Decoder(_Said).decode


def _only_text(said: _Said) -> bytes | None:
    """The text of a message that has nothing else to it."""
    body = bytes(said.body)
    if said.type != _TEXT or said.flags or bytes(said.options) != EMPTY_MAP or bytes(said.ext) != NIL:
        return None
    if not body.startswith(_TEXT_ALONE):
        return None
    head = body[6]
    start = 6 + (1 if 0xA0 <= head <= 0xBF else _STR_HEADS.get(head, 0))
    return None if start == 6 else body[start:]


def room_event(message: bytes) -> bytes:
    """EVENT kind 5 of one message; gateways join those that leave together (docs/PROTOCOL.md, 11)."""
    said = _decode_said(message)
    content = _only_text(said)
    shape = RoomShape.SEQ if said.seq else 0
    if content is None:
        content = b"".join(
            (b"\x95", encode(said.type), said.body, said.options, said.ext, encode(said.flags))
        )
    else:
        shape |= RoomShape.TEXT
    room, sender = said.conversation[len(ROOM_PREFIX) :].encode(), said.sender.encode()
    return b"".join((
        _KIND_ROOM, bytes((len(room),)), room,
        bytes((shape,)), _uv(said.server_id << 1), _uv(said.time_ms << 1), _uv(len(sender) << 1), sender,
        _uv(said.seq) if said.seq else b"", _uv(len(content)), content,
    ))  # fmt: skip


def notice_event(name: str, data: Data) -> bytes:
    """EVENT kind 2: [name, data]."""
    return _NOTICE + encode((name, data))


def sync_event(conversation: str | None, last_seq: int) -> bytes:
    """EVENT kind 3: something may be missing here."""
    return _SYNC + encode((conversation, last_seq))


SYNC_BODY = _SYNC + encode((None, 0))
"""EVENT kind 1 of no conversation: look into the store."""


def presence_event(user: str, online: bool, devices: Sequence[Struct]) -> bytes:
    """EVENT kind 4: [user, online, devices]."""
    return _PRESENCE + encode((user, online, devices))


class Preferences(Struct, omit_defaults=True):
    """What a user set for one conversation. `mute` = no push, `pin` = stays on top, `ext` = the
    application's."""

    mute: bool = False
    pin: bool = False
    ext: Annotated[str, Meta(max_length=1024)] = ""


_decode_preferences = msgspec.msgpack.Decoder(Preferences).decode


def preferences(settings: bytes) -> Preferences:
    """The settings of an inbox row."""
    return _decode_preferences(settings) if settings else Preferences()
