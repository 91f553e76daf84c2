"""What travels between gateways and im processes: operations, packed into one batch per peer and loop
turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[list[Any]]).decode

# Below NATS' default max_payload of 1 MiB, with room for one operation more.
MAX_BATCH_BYTES = 256 << 10
FIRST_DOWN = 100


class Up(IntEnum):
    """Gateway to im process. Each operation is an array that begins with its number."""

    SENDS = 1  # [[conn, user, device, request, target, payload]...]
    CALL = 2  # conn, user, device, request, method, payload
    LOGIN = 3  # conn, user, device, platform, session_id
    LOGOUT = 4  # conn, user, device, code
    ANNOUNCE = 5  # [topic...]: first local member
    WITHDRAW = 6  # [topic...]: last local member left
    REPLACE = 7  # [topic...]: exactly these have members
    TELLING = 8  # all sessions follow
    SESSION = 9  # conn, user, device, platform, session_id, whether logins of the user go to this im process
    TOLD = 10  # exactly those told, and logged in, since TELLING are live


class Down(IntEnum):
    """Im process to gateway. Numbers above FIRST_DOWN: a process with both roles tells batches apart by
    them.
    """

    REPLIES = 101  # [[conn, type, request, code, payload]...]
    PUBLISH = 102  # topic, type, body, priority, exclude
    JOIN = 103  # conn, topic
    LEAVE = 104  # conn, topic
    JOIN_USER = 105  # user, topic
    LEAVE_USER = 106  # user, topic
    KICK = 107  # user, device | None, before_session, code, text
    TELL = 108  # something was lost on the way up: TELLING, all sessions, REPLACE, TOLD
    SYNC = 109  # TOLD has arrived: what was published meanwhile may be missing, so the sessions shall look


class Batcher:
    """Collects operations per peer and hands over one batch per peer when the loop turn ends, or when it is
    full.

    `push(peer, batch)` is called with batches in the order of `add`.
    """

    def __init__(self, push: Callable[[int, bytes], None]) -> None:
        self._push = push
        self._waiting: dict[int, list[msgspec.Raw]] = {}
        self._bytes: dict[int, int] = {}
        self._scheduled = False

    def add(self, peer: int, operation: bytes) -> None:
        """`operation` is an encoded array; the same bytes may be added for several peers."""
        waiting = self._waiting.get(peer)
        if waiting is None:
            waiting = self._waiting[peer] = []
            self._bytes[peer] = 0
        waiting.append(msgspec.Raw(operation))
        self._bytes[peer] += len(operation)
        if self._bytes[peer] >= MAX_BATCH_BYTES:
            self._flush_peer(peer)
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        self._scheduled = False
        for peer in list(self._waiting):
            self._flush_peer(peer)

    def _flush_peer(self, peer: int) -> None:
        operations = self._waiting.pop(peer, None)
        if operations:
            del self._bytes[peer]
            self._push(peer, encode(operations))
