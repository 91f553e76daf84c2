"""Tickets: what a server gives to a session, so that its client comes back to it over another connection
(docs/PROTOCOL.md, "Tickets").
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from qianwan import constants as c
from qianwan.errors import ProtocolError
from qianwan.protocol import auth, varint


class Ticket(NamedTuple):
    """`came` by a clock that runs on, in seconds. As secret as a token."""

    psk: bytes
    ticket: bytes
    lifetime_s: int
    came: float

    def over(self, now: float) -> bool:
        return now - self.came >= self.lifetime_s


class Offer(NamedTuple):
    """What a connection begins with: a ticket, and of which message of its session on it is taken up.
    `seen` None: only a login by ticket is wanted. `lite`: without the server's key."""

    ticket: Ticket
    seen: int | None
    lite: bool = False

    def payload(self, now: float) -> bytes:
        """The fields of message 1."""
        age_ms = varint.put(max(0, int((now - self.ticket.came) * 1000)))
        fields = bytes((c.FlightTlv.TICKET_AGE_MS, len(age_ms))) + age_ms
        if self.seen is not None:
            seen = varint.put(self.seen)
            fields = bytes((c.FlightTlv.RESUME_SEEN, len(seen))) + seen + fields
        return fields


class Resumed(NamedTuple):
    """RESUME_OK: the MSG frames `first` to `last` are sent again, `last` may be `first` - 1."""

    first: int
    last: int
    flags: int


class NotResumed(Exception):
    """RESUME_FAIL; `reason` is one of ResumeReason, or of a later server."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(f"the session cannot be taken up again ({reason}): {text}")
        self.reason = reason


def parse_ticket(body: bytes, now: float) -> Ticket:
    lifetime_s, at = varint.get(body, 0)
    end = at + c.TICKET_PSK
    if len(body) <= end or len(body) != end + 1 + body[end] or not body[end]:
        raise ProtocolError("a TICKET cannot be read")
    return Ticket(body[at:end], body[end + 1 :], lifetime_s, now)


def parse_resumed(body: bytes) -> Resumed:
    first, at = varint.get(body, 0)
    last, at = varint.get(body, at)
    if len(body) <= at or last + 1 < first:
        raise ProtocolError("a RESUME_OK cannot be read")
    return Resumed(first, last, body[at])


def parse_not_resumed(body: bytes) -> NotResumed:
    if not body:
        raise ProtocolError("a RESUME_FAIL cannot be read")
    return NotResumed(body[0], body[1:].decode("utf-8", "replace"))


def auth_body(ticket: Ticket, handshake_hash: bytes, device_id: str, platform: int) -> bytes:
    """The body of AUTH of the kind TICKET."""
    proof = hmac.digest(ticket.psk, auth.LABEL + handshake_hash, "sha256")
    return auth.pack(c.AuthKind.TICKET, b"", proof, device_id, platform)
