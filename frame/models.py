"""Parsed values as the Python faces return them: copies, nothing points into the input."""

from __future__ import annotations

from typing import NamedTuple


class Frame(NamedTuple):
    """One frame of a record. `ack` is None without the A flag; `compressed` is the Z flag."""

    type: int
    compressed: bool
    ack: int | None
    body: bytes


class Request(NamedTuple):
    """Body of SEND (name = target) or CALL (name = method)."""

    request: int
    name: bytes
    payload: bytes


class Reply(NamedTuple):
    """Body of SEND_ACK or RETURN; code 0 is success."""

    request: int
    code: int
    payload: bytes


class AuthBody(NamedTuple):
    """Body of AUTH; `extras` is a msgpack map or empty."""

    kind: int
    token: bytes
    binding: bytes
    device: bytes
    platform: int
    extras: bytes


class Ping(NamedTuple):
    """Body of PING; interval 0 = not announced, seconds otherwise."""

    state: int
    next_interval_s: int


class RoomMessage(NamedTuple):
    """A message of an EVENT ROOM_MESSAGES; `content` is the text with RoomShape.TEXT, else msgpack."""

    shape: int
    server_id: int
    time_ms: int
    sender: bytes
    seq: int
    content: bytes


class Preamble(NamedTuple):
    """The first 8 bytes of a native connection, without the magic."""

    version: int
    pattern: int
    suite: int
    flags: int
    key_id: int


class WsHeader(NamedTuple):
    """A WebSocket frame header; `mask` is None on an unmasked frame."""

    opcode: int
    fin: bool
    mask: bytes | None
    payload_len: int


class Upgrade(NamedTuple):
    """The head of an HTTP upgrade. status 101 = may be upgraded, otherwise the status to refuse it with."""

    status: int
    key: bytes
    offers: bool
    has_qw1: bool
    known: bool
    path: bytes
    query: bytes
    origin: bytes
    host: bytes


class ProxyHeader(NamedTuple):
    """PROXY v2: family 0 (no address), 4 or 6; addresses in network order: 0, 4 or 16 bytes."""

    family: int
    local: bool
    source: bytes
    source_port: int
    target: bytes
    target_port: int
