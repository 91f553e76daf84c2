"""Typed, size-limited message bodies.

Media go by URL: the object store is the application's own, the body carries where it lies and what it is.
A body may carry further keys of the application (for example a caption); the size limit covers the whole
body.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from frame.constants import MessageType
from im_service.errors import UNDECODABLE, Code, ImError
from im_service.faults import told
from im_service.grammar import check_bytes

MAX_TEXT = 5000  # characters of a text
MAX_BODY_BYTES = 20_480  # of an encoded text body: 5000 characters of 4 bytes and its keys
MAX_MEDIA_BYTES = 4096  # of any other encoded body
MAX_ROOM_BYTES = 4096  # of any encoded body in a chatroom: it is multiplied by the audience

Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Size = Annotated[int, Meta(ge=0, le=1 << 40)]
Digest = Annotated[str, Meta(max_length=128)]
Pixels = Annotated[int, Meta(ge=0, le=1 << 20)]
Millis = Annotated[int, Meta(ge=0, le=1 << 40)]


class Text(Struct):
    """type 0"""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class Image(Struct):
    """type 1. size in bytes, width and height in pixels"""

    url: Url
    size: Size = 0
    digest: Digest = ""
    name: Annotated[str, Meta(max_length=256)] = ""
    width: Pixels = 0
    height: Pixels = 0


class Audio(Struct):
    """type 2. duration_ms in milliseconds"""

    url: Url
    duration_ms: Millis
    size: Size = 0
    digest: Digest = ""


class Video(Struct):
    """type 3"""

    url: Url
    duration_ms: Millis
    size: Size = 0
    digest: Digest = ""
    width: Pixels = 0
    height: Pixels = 0
    cover: Annotated[str, Meta(max_length=2048)] = ""


class Location(Struct):
    """type 4. degrees, WGS 84"""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    title: Annotated[str, Meta(max_length=500)] = ""


class File(Struct):
    """type 6. at most 100 MB is the advice to applications, the URL's server decides"""

    url: Url
    name: Annotated[str, Meta(max_length=256)]
    size: Size = 0
    digest: Digest = ""


class Tip(Struct):
    """type 10. a grey line in the conversation"""

    text: Annotated[str, Meta(min_length=1, max_length=500)]


class Custom(Struct):
    """type 100. `sub_type` is the application's number, `data` whatever it agreed on"""

    sub_type: Annotated[int, Meta(ge=0, le=1 << 31)] = 0
    data: Any = None


class Notification(Struct):
    """type 5, made by the server only. `event` says what happened, the other keys depend on it"""

    event: Annotated[str, Meta(min_length=1, max_length=64)]


BODIES: dict[int, type[Struct]] = {
    MessageType.TEXT: Text,
    MessageType.IMAGE: Image,
    MessageType.AUDIO: Audio,
    MessageType.VIDEO: Video,
    MessageType.LOCATION: Location,
    MessageType.NOTIFICATION: Notification,
    MessageType.FILE: File,
    MessageType.TIP: Tip,
    MessageType.CUSTOM: Custom,
}
DECODERS: dict[int, msgspec.msgpack.Decoder[Struct]] = {
    int(t): msgspec.msgpack.Decoder(b) for t, b in BODIES.items()
}
_TEXT = int(MessageType.TEXT)
_NOTIFICATION = int(MessageType.NOTIFICATION)
_check_text = DECODERS[_TEXT].decode


def body_has_one_key(body: bytes | msgspec.Raw) -> bool:
    """A map of one pair: of a text that passed, there is nothing but the text."""
    return memoryview(body)[0] == 0x81


def check_body(type: int, body: bytes | msgspec.Raw, room: bool = False, server: bool = False) -> None:
    """Refuse a body that is not of its type (414), too long (414), or the server's to send (403). Keys of the
    application are handed on unread: every receiver must be able to decode them (grammar.py)."""
    size = len(memoryview(body))
    try:
        if type == _TEXT and size <= MAX_ROOM_BYTES:
            _check_text(body)
            if body_has_one_key(body):
                return
            check_bytes(body, "the body")
            return
        decoder = DECODERS.get(type)
        if decoder is None:
            raise ImError(Code.INVALID, f"no such message type: {type}")
        if type == _NOTIFICATION and not server:
            raise ImError(Code.FORBIDDEN, "notifications are sent by the server only")
        limit = MAX_ROOM_BYTES if room else MAX_BODY_BYTES if type == _TEXT else MAX_MEDIA_BYTES
        if size > limit:
            raise ImError(Code.INVALID, f"the body has {size} bytes, the limit is {limit}")
        decoder.decode(body)
        check_bytes(body, "the body")
    except msgspec.ValidationError as error:
        reason = told(error, BODIES[MessageType(type)])
        raise ImError(Code.INVALID, f"body of type {type}: {reason}") from None
    except UNDECODABLE:
        raise ImError(Code.MALFORMED, "the body is not msgpack") from None
