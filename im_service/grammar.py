"""What a value that people may send is made of, checked once at the border: by SEND, CALL and HTTP alike.

Receivers in any language must be able to decode it, and HTTP must be able to say it as JSON: maps with text
keys, at most 32 levels and 16,384 values, no extension types, finite numbers (docs/PROTOCOL.md 18).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping
from math import isfinite
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from frame.constants import MessageType
from im_service.errors import UNDECODABLE, Code, ImError
from im_service.ids import check_sender

MAX_DEPTH = 32
MAX_VALUES = 16_384
"""Of lists and maps together: what many tiny ones cost is not seen by their bytes."""
MAX_PAYLOAD = 60_000
"""Bytes of a message's body, options and ext together: with ids and times it fits a frame alone."""
_PLAIN = frozenset({str, int, bool, type(None), bytes})
_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode
_TEXT_ALONE = b"\x81\xa4text"
"""How the body of a text begins that has no other key: its type was checked, there is nothing more."""


def check_value(value: object, what: str) -> None:
    """Refuse with 414 what the grammar does not know."""
    level: list[object] = [value]
    seen = depth = 0
    while level:
        below: list[object] = []
        for each in level:
            kind = type(each)
            if kind in _PLAIN:
                continue
            if kind is list:
                assert isinstance(each, list)
                inner: Collection[object] = each
            elif isinstance(each, dict):
                if not all(type(key) is str for key in each):
                    raise ImError(Code.INVALID, f"{what} has a key that is no text")
                inner = each.values()
            elif isinstance(each, float):
                if not isfinite(each):
                    raise ImError(Code.INVALID, f"{what} holds a number that is not finite")
                continue
            else:
                raise ImError(Code.INVALID, f"{what} holds an extension type")
            if depth == MAX_DEPTH:
                raise ImError(Code.INVALID, f"{what} has more than {MAX_DEPTH} levels")
            seen += len(inner)
            if seen > MAX_VALUES:
                raise ImError(Code.INVALID, f"{what} has more than {MAX_VALUES} values")
            below.extend(inner)
        level, depth = below, depth + 1


def check_bytes(data: bytes | Raw, what: str) -> None:
    """`check_value` of msgpack. 400 for what is none."""
    try:
        value = _decode(data)
    except UNDECODABLE:
        raise ImError(Code.MALFORMED, f"{what} is not msgpack") from None
    except (ValueError, TypeError, OverflowError):  # a timestamp of no date, a key without a hash
        raise ImError(Code.INVALID, f"{what} holds what nobody decodes") from None
    check_value(value, what)


IDS = frozenset({"group", "room", "user", "owner", "users", "members", "devices", "tag", "tags"})
"""Members of argument maps that hold ids, whatever the call."""


def check_arguments(args: Struct) -> None:
    """Ids follow the grammar, so none of another shape is looked up or remembered anywhere; empty ones name
    nobody. Texts that stores keep as text hold no U+0000: not every engine can. Numbers are finite. 414."""
    for name in args.__struct_fields__:
        value = getattr(args, name)
        if name in IDS:
            for each in (value,) if isinstance(value, str) else value or ():
                if each:
                    check_sender(each, name)
        else:
            _check_argument(value, name)


def _check_argument(value: object, name: str) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise ImError(Code.INVALID, f"{name} holds U+0000")
    elif isinstance(value, float):
        if not isfinite(value):
            raise ImError(Code.INVALID, f"{name} is not a finite number")
    elif isinstance(value, list):
        for each in value:
            _check_argument(each, name)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _check_argument(key, name)
            _check_argument(each, name)


class Content(NamedTuple):
    """What a stored message or broadcast says."""

    type: int
    body: Raw | bytes


def is_plain_text(type: int, data: bytes) -> bool:
    """A text and nothing else, so there is nothing to look for."""
    return type == MessageType.TEXT and data.startswith(_TEXT_ALONE) and len(data) <= MAX_PAYLOAD


def readable(type: int, body: Raw | bytes) -> Content:
    """The content as it was stored; if the grammar does not know it (rows of earlier versions), a custom body
    with its bytes in base64: {"data": {"unreadable", "type"}}, or with their number if they are too many."""
    data = bytes(body)
    if is_plain_text(type, data):
        return Content(type, body)
    try:
        if len(data) > MAX_PAYLOAD:
            raise ImError(Code.INVALID, "longer than a frame")
        check_bytes(data, "body")
    except ImError:
        kept: str | int = b64encode(data).decode() if len(data) <= MAX_PAYLOAD // 2 else len(data)
        return Content(int(MessageType.CUSTOM), _encode({"data": {"unreadable": kept, "type": type}}))
    return Content(type, body)
