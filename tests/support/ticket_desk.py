"""Tickets of a ScriptedGateway: sessions that wait for their client, by docs/PROTOCOL.md section 9."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from tests.support.qw1_responder import frame, read_uv, uv

TICKET, RESUME_OK, RESUME_FAIL = 14, 19, 20
EVENTS_LOST, ROOMS_LEFT = 1, 2


class Kept:
    """A session: all MSG bodies it ever had, and the connection that it is on now."""

    def __init__(self, user: str, device: str) -> None:
        self.user = user
        self.device = device
        self.bodies: list[bytes] = []
        self.peer: Any = None


class TicketDesk:
    """`open`: sessions get tickets. `reason`: of a RESUME_FAIL that the next ones hear. `early`: the answer
    stands behind message 2."""

    def __init__(self) -> None:
        self.open = False
        self.reason = 0
        self.early = False
        self.lite = False
        self.wrong = b""
        """said in the place of every answer"""
        self.refuse_auth = 0
        """the CLOSE that a login by ticket hears"""
        self.of: dict[bytes, tuple[bytes, Kept]] = {}  # ticket -> psk and session
        self.resumes: list[int] = []
        """what clients said that they had seen"""
        self.logins = 0

    def psk(self, ticket: bytes) -> bytes | None:
        return self.of[ticket][0] if ticket in self.of else None

    def give(self, kept: Kept) -> bytes:
        """A TICKET frame for this session."""
        psk, ticket = os.urandom(32), b"ticket " + os.urandom(16)
        self.of[ticket] = psk, kept
        return frame(TICKET, uv(3600) + psk + bytes([len(ticket)]) + ticket)

    def keep(self, user: str, message: list[Any]) -> None:
        """A message for sessions of this user that have no connection."""
        for kept in {id(kept): kept for _, kept in self.of.values()}.values():
            if kept.user == user and kept.peer is None:
                kept.bodies.append(msgspec.msgpack.encode(message))

    def answer(self, ticket: bytes, seen: int) -> list[bytes]:
        """RESUME_OK and what was missed, or RESUME_FAIL."""
        if self.wrong:
            return [self.wrong]
        if self.reason:
            return [frame(RESUME_FAIL, bytes([self.reason]) + b"not here")]
        bodies = self.of[ticket][1].bodies
        head = uv(seen + 1) + uv(len(bodies)) + bytes([ROOMS_LEFT])
        return [frame(RESUME_OK, head), *(frame(6, body) for body in bodies[seen:])]


def seen_in(payload: bytes) -> int | None:
    """RESUME_SEEN of message 1."""
    at = 0
    while at < len(payload):
        tag, at = read_uv(payload, at)
        size, at = read_uv(payload, at)
        if tag == 1:
            return read_uv(payload, at)[0]
        at += size
    return None
