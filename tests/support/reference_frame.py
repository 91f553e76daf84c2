"""A slow second reading of the QW1 bytes, written from docs/PROTOCOL.md for comparison with the C parsers.

Results speak the same vocabulary: (bytes consumed, value), or (NEED_MORE | MALFORMED | TOO_BIG, None).
"""

from __future__ import annotations

import math

import msgspec

from frame.constants import HANDSHAKE_MAX, HANDSHAKE_MIN, RESUME_PAYLOAD_MAX, Pattern
from frame.errors import MALFORMED, NEED_MORE, TOO_BIG
from frame.models import AuthBody, Frame, Ping, Preamble, Reply, Request, RoomMessage


class Stop(Exception):
    """Leaves a reading with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Reader:
    """Takes bytes from the front; running out raises Stop(at_end)."""

    def __init__(self, data: bytes, at_end: int = NEED_MORE) -> None:
        self.data = data
        self.at = 0
        self.at_end = at_end

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise Stop(self.at_end)
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def uv(self) -> int:
        """Arithmetic instead of bits: digits of base 128, least significant first."""
        value, weight = 0, 1
        while True:
            digit = self.byte()
            value += (digit % 128) * weight
            if value >= 2**64 or (weight == 128**9 and digit >= 128):
                raise Stop(MALFORMED)
            if digit < 128:
                if digit == 0 and weight > 1:
                    raise Stop(MALFORMED)
                return value
            weight *= 128


def varint(data: bytes) -> tuple[int, int | None]:
    reader = Reader(data)
    try:
        value = reader.uv()
    except Stop as stop:
        return stop.code, None
    return reader.at, value


def frame(data: bytes, max_body: int = 61440) -> tuple[int, Frame | None]:
    reader = Reader(data)
    try:
        head = reader.byte()
        if head >= 128:
            raise Stop(MALFORMED)
        ack = reader.uv() if head // 64 % 2 else None
        length = reader.uv()
        if length > max_body:
            raise Stop(TOO_BIG)
        body = reader.take(length)
    except Stop as stop:
        return stop.code, None
    return reader.at, Frame(head % 32, bool(head // 32 % 2), ack, body)


def record(data: bytes, min_len: int = 17, max_len: int = 65535) -> tuple[int, bytes | None]:
    reader = Reader(data)
    try:
        length = int.from_bytes(reader.take(2), "big")
        if length < min_len:
            raise Stop(MALFORMED)
        if length > max_len:
            raise Stop(TOO_BIG)
        return reader.at + length, reader.take(length)
    except Stop as stop:
        return stop.code, None


def preamble(data: bytes) -> tuple[int, Preamble | None]:
    if not data.startswith(b"QW"[: len(data)]):
        return MALFORMED, None
    if len(data) < 8:
        return NEED_MORE, None
    return 8, Preamble(data[2], data[3], data[4], data[5], data[6] * 256 + data[7])


def flight(data: bytes) -> tuple[int, tuple[bytes, bytes | None, bytes] | None]:
    """Preamble, u8 len and ticket for patterns 2 and 3, u16 len and message 1."""
    used, head = preamble(data)
    if head is None:
        return used, None
    reader, ticket, most = Reader(data[8:]), None, HANDSHAKE_MAX
    try:
        if head.pattern in (Pattern.NKPSK0, Pattern.NNPSK0):
            size = reader.byte()
            if size == 0:
                return MALFORMED, None
            ticket, most = reader.take(size), HANDSHAKE_MIN + RESUME_PAYLOAD_MAX
        prologue = data[: 8 + (0 if ticket is None else 1 + len(ticket))]
        size = int.from_bytes(reader.take(2), "big")
        if not HANDSHAKE_MIN <= size <= most:
            return MALFORMED if size < HANDSHAKE_MIN else TOO_BIG, None
        return len(prologue) + 2 + size, (prologue, ticket, reader.take(size))
    except Stop as stop:
        return stop.code, None


def request(data: bytes) -> Request | None:
    reader = Reader(data, MALFORMED)
    try:
        number = reader.uv()
        name = reader.take(reader.byte())
        return Request(number, name, reader.rest()) if name else None
    except Stop:
        return None


def reply(data: bytes) -> Reply | None:
    reader = Reader(data, MALFORMED)
    try:
        return Reply(reader.uv(), reader.uv(), reader.rest())
    except Stop:
        return None


def auth(data: bytes) -> AuthBody | None:
    reader = Reader(data, MALFORMED)
    try:
        kind = reader.byte()
        token, binding, device = (reader.take(reader.uv()) for _ in range(3))
        platform = reader.byte()
        extras = reader.take(reader.uv())
    except Stop:
        return None
    if reader.at != len(data) or (extras and not is_map(extras)):
        return None
    return AuthBody(kind, token, binding, device, platform, extras)


def is_map(data: bytes) -> bool:
    """One msgpack map of section 18 and nothing else."""
    try:
        value = msgspec.msgpack.decode(data)
    except (ValueError, TypeError, OverflowError, RecursionError, msgspec.DecodeError):
        return False
    return isinstance(value, dict) and is_plain(value, 32)


def is_plain(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(isinstance(k, str) and is_plain(v, levels - 1) for k, v in value.items())
    if isinstance(value, list):
        return levels > 0 and all(is_plain(each, levels - 1) for each in value)
    return (
        isinstance(value, (bool, int, str, bytes))
        or value is None
        or (isinstance(value, float) and math.isfinite(value))
    )


def ping(data: bytes) -> Ping | None:
    reader = Reader(data, MALFORMED)
    try:
        found = Ping(reader.byte(), reader.uv()) if data else Ping(0, 0)
    except Stop:
        return None
    return found if reader.at == len(data) else None


def compressed(data: bytes) -> int | tuple[int, bytes]:
    """(raw_len, zstd frame), or the code."""
    reader = Reader(data, MALFORMED)
    try:
        raw_len, packed = reader.uv(), reader.rest()
    except Stop as stop:
        return stop.code
    if not packed:
        return MALFORMED
    return TOO_BIG if raw_len > min(1 << 20, 100 * len(packed)) else (raw_len, packed)


def room_messages(data: bytes) -> tuple[bytes, list[RoomMessage]] | None:
    """EVENT ROOM_MESSAGES: the room, and what was said there."""
    reader = Reader(data, MALFORMED)
    names: list[bytes] = []
    said: list[RoomMessage] = []
    values = [0, 0]  # server_id, time_ms
    try:
        if reader.byte() != 5 or not 1 <= (size := reader.byte()) <= 64:
            return None
        room = reader.take(size)
        while reader.at < len(data):
            if (shape := reader.byte()) > 3:
                return None
            for i in range(2):
                written = reader.uv()
                values[i] += -(written + 1) // 2 if written % 2 else written // 2
                if not 0 <= values[i] < 2**63:
                    return None
            who = reader.uv()
            if who % 2 and who // 2 >= len(names):
                return None
            if who % 2 == 0:
                if who > 128:
                    return None
                names.append(reader.take(who // 2))
            sender = names[who // 2 if who % 2 else -1]
            seq = reader.uv() if shape >= 2 else 0
            said.append(RoomMessage(shape, values[0], values[1], sender, seq, reader.take(reader.uv())))
    except Stop:
        return None
    return room, said


def tlvs(data: bytes) -> list[tuple[int, bytes]] | None:
    reader, found = Reader(data, MALFORMED), []
    try:
        while reader.at < len(data):
            tag = reader.uv()
            found.append((tag, reader.take(reader.uv())))
    except Stop:
        return None
    return found
