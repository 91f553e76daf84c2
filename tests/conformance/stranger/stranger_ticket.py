"""Section 9, "Tickets": a stranger that takes its session up again."""

from __future__ import annotations

import hmac
import time
from typing import NamedTuple

from noise.connection import Keypair, NoiseConnection

from tests.conformance.stranger.stranger_client import (
    ACK,
    AUTH,
    Frame,
    Rejected,
    Stranger,
    frame,
    read_uv,
    uv,
)

TICKET, RESUME_OK, RESUME_FAIL = 14, 19, 20
EPOCH, OVERFLOW, EXPIRED, REVOKED, ELSEWHERE = range(1, 6)
CIPHERS = {1: "ChaChaPoly", 2: "AESGCM"}


class Ticket(NamedTuple):
    lifetime_s: int
    psk: bytes
    ticket: bytes
    came: float


def read_ticket(body: bytes) -> Ticket:
    """uv lifetime_s | 32 psk | u8 len ticket"""
    lifetime_s, at = read_uv(body)
    assert body[at + 32] == len(body) - at - 33
    return Ticket(lifetime_s, body[at : at + 32], body[at + 33 :], time.monotonic())


class Returning(Stranger):
    """A connection that begins with a ticket. `keep` remembers the newest one."""

    unused = frozenset()
    ticket: Ticket | None = None

    def keep(self, got: Frame) -> None:
        if got.type == TICKET:
            self.ticket = read_ticket(got.body)
        super().keep(got)

    def wait_for_ticket(self) -> Ticket:
        self.ticket = None
        while self.ticket is None:
            self.keep(self.read())
        return self.ticket

    def come(
        self,
        key_id: int,
        public: bytes,
        ticket: Ticket,
        seen: int | None,
        *,
        suite: int = 1,
        lite: bool = False,
    ) -> None:
        """The handshake with a ticket. Raises Rejected."""
        head = b"QW\x01" + bytes([3 if lite else 2, suite, 2]) + (0 if lite else key_id).to_bytes(2, "big")
        prologue = head + bytes([len(ticket.ticket)]) + ticket.ticket
        pattern = "NNpsk0" if lite else "NKpsk0"
        noise = NoiseConnection.from_name(f"Noise_{pattern}_25519_{CIPHERS[suite]}_SHA256".encode())
        noise.set_as_initiator()
        noise.set_prologue(prologue)
        noise.set_psks(ticket.psk)
        if not lite:
            noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)
        noise.start_handshake()
        age = uv(int((time.monotonic() - ticket.came) * 1000))
        fields = b"" if seen is None else b"\x01" + uv(len(uv(seen))) + uv(seen)
        message = bytes(noise.write_message(fields + b"\x02" + uv(len(age)) + age))
        self.flight = prologue + len(message).to_bytes(2, "big") + message
        self.stream.write(self.flight)
        size = int.from_bytes(self._take(2), "big")
        if size == 0:
            code = self._take(1)[0]
            raise Rejected(code, self._take(int.from_bytes(self._take(2), "big")))
        noise.read_message(self._take(size))
        self.noise, self.hash = noise, noise.get_handshake_hash()
        self.received = seen or 0

    def resume(self) -> tuple[int, int, int]:
        """(first, last, flags) of RESUME_OK; AssertionError for RESUME_FAIL, whose body it has."""
        self.write(frame(ACK, ack=self.received))
        got = self.read()
        assert got.type == RESUME_OK, got
        first, at = read_uv(got.body)
        last, at = read_uv(got.body, at)
        return first, last, got.body[at]

    def refused(self) -> int:
        """The reason of RESUME_FAIL."""
        self.write(frame(ACK, ack=self.received))
        got = self.read()
        assert got.type == RESUME_FAIL, got
        self.received = 0
        return got.body[0]

    def login_by_ticket(self, ticket: Ticket, device: str = "stranger") -> list[object]:
        proof = hmac.new(ticket.psk, b"qw1 auth" + self.hash, "sha256").digest()
        name = device.encode()
        body = b"\x03" + uv(0) + uv(len(proof)) + proof + uv(len(name)) + name + b"\x06" + uv(0)
        self.write(frame(AUTH, body))
        return self.welcome()
