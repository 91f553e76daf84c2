"""Bodies of SEND, CALL and their answers, and of what the server says about a connection
(docs/PROTOCOL.md, "Bodies").
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from qianwan.constants import ADDRESS_MAX, GOAWAY_ADDRESSES, MAX_BODY
from qianwan.errors import ConnectionClosed, ProtocolError, RequestError, TooBig, request_error
from qianwan.protocol import varint

encode = msgspec.msgpack.encode
_any = msgspec.msgpack.Decoder()


def decode(data: bytes) -> Any:
    """One msgpack value (None for an empty payload). Raises ProtocolError."""
    if not data:
        return None
    try:
        return _any.decode(data)
    except (msgspec.DecodeError, RecursionError, TypeError, ValueError) as error:
        raise ProtocolError("a payload is not msgpack") from error


def request_body(request: int, name: str, payload: bytes) -> bytes:
    """SEND (name = target) and CALL (name = method): `uv request | u8 len | name | payload`. Raises TooBig
    or ValueError."""
    encoded = name.encode()
    if not 0 < len(encoded) < 256:
        raise ValueError("a target or method has 1 to 255 bytes")
    body = varint.put(request) + bytes((len(encoded),)) + encoded + payload
    if len(body) > MAX_BODY:
        raise TooBig(f"{name}: {len(payload)} bytes do not fit into a frame of {MAX_BODY}")
    return body


def check_request(name: str, payload: bytes) -> None:
    """Whether a request with any number can be written. Raises TooBig or ValueError."""
    request_body((1 << 32) - 1, name, payload)


class Answer(NamedTuple):
    """SEND_ACK or RETURN: `uv request | uv code | payload`."""

    request: int
    code: int
    payload: bytes

    def error(self) -> RequestError:
        """The typed error of an answer whose code is not 0."""
        text, detail = "", {}
        try:
            value = decode(self.payload)
        except ProtocolError:
            value = None  # the code alone says enough
        if isinstance(value, list) and value:
            text = str(value[0])
            detail = value[1] if len(value) > 1 and isinstance(value[1], dict) else {}
        return request_error(self.code, text, detail)


def parse_answer(body: bytes) -> Answer:
    request, at = varint.get(body, 0)
    code, at = varint.get(body, at)
    return Answer(request, code, body[at:])


def parse_close(body: bytes) -> ConnectionClosed:
    """CLOSE: `uv code | text`."""
    code, at = varint.get(body, 0)
    return ConnectionClosed(code, body[at:].decode("utf-8", "replace"))


def close_body(code: int, text: str = "") -> bytes:
    return varint.put(code) + text.encode()


class GoAway(NamedTuple):
    """The server asks to move, after `retry_after_ms` plus a random part of `jitter_ms`: to `addresses` in
    their order, else wherever the LBS says.
    """

    code: int
    retry_after_ms: int
    jitter_ms: int
    addresses: tuple[str, ...]
    text: str


def parse_goaway(body: bytes) -> GoAway:
    code, at = varint.get(body, 0)
    retry_after, at = varint.get(body, at)
    jitter, at = varint.get(body, at)
    if at >= len(body) or body[at] > GOAWAY_ADDRESSES:
        raise ProtocolError("a GOAWAY without a count of addresses, or with too many")
    addresses = []
    count, at = body[at], at + 1
    for _ in range(count):
        size, at = varint.get(body, at)
        if not 0 < size <= min(ADDRESS_MAX, len(body) - at):
            raise ProtocolError("an address of a GOAWAY is cut off or too long")
        addresses.append(body[at : at + size].decode("utf-8", "replace"))
        at += size
    return GoAway(code, retry_after, jitter, tuple(addresses), body[at:].decode("utf-8", "replace"))


def ping_body(state_bits: int, next_interval_s: int) -> bytes:
    return bytes((state_bits,)) + varint.put(next_interval_s)
