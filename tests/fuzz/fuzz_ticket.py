"""Tickets: what a server opens under its own key, and the frames that a client reads of them."""

from __future__ import annotations

from pathlib import Path

import nacl.bindings
from qianwan.errors import ProtocolError
from qianwan.protocol import tickets, varint

from crypto.errors import AuthenticationFailed
from crypto.ticket import TicketFields, open_ticket, seal_ticket

WATCHED = (Path(tickets.__file__), Path(varint.__file__))
KEYS = [(7, b"k" * 32)]
NONCE = bytes(24)
AD = b"qw1 ticket" + (7).to_bytes(4, "big")


def one(data: bytes) -> str:
    """Says what became of it."""
    return f"{_opened(data)} {_under_the_key(data)} {_read(data)}"


def _opened(data: bytes) -> str:
    try:
        open_ticket(KEYS, data)
    except AuthenticationFailed:
        return "refused"
    raise AssertionError("a ticket that nobody has sealed")


def _under_the_key(plain: bytes) -> str:
    """As though our own key had sealed it: it is read to its last byte, or refused."""
    sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, AD, NONCE, KEYS[0][1])
    try:
        fields = open_ticket(KEYS, (7).to_bytes(4, "big") + NONCE + sealed)
    except AuthenticationFailed:
        return "unreadable"
    except UnicodeDecodeError:
        return "names that are no text"  # of this Python face alone
    assert isinstance(fields, TicketFields)
    assert open_ticket(KEYS, seal_ticket(KEYS, fields)) == fields
    assert plain.endswith(fields.device.encode())
    assert plain[1:33] == fields.psk
    return "read"


def _read(body: bytes) -> str:
    found: list[str] = []
    for parse in (
        lambda data: tickets.parse_ticket(data, 0.0),
        tickets.parse_resumed,
        tickets.parse_not_resumed,
    ):
        try:
            parsed = parse(body)
        except ProtocolError:
            found.append("-")
            continue
        if isinstance(parsed, tickets.Ticket):
            assert len(parsed.psk) == 32
            assert body.endswith(parsed.psk + bytes([len(parsed.ticket)]) + parsed.ticket)
        elif isinstance(parsed, tickets.Resumed):
            assert parsed.last + 1 >= parsed.first
        found.append(type(parsed).__name__)
    return " ".join(found)
