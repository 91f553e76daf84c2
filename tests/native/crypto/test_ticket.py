"""Tickets say what was sealed, to those who hold the key, and nothing to anybody else."""

from __future__ import annotations

import os

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt

from crypto.errors import AuthenticationFailed
from crypto.ticket import TicketFields, open_ticket, seal_ticket
from frame.constants import NAME_MAX, TICKET_MAX

KEY, OTHER = os.urandom(32), os.urandom(32)
FIELDS = TicketFields(
    psk=os.urandom(32), conn=1 << 56 | 5 << 32 | 9, session=2**63 + 1, epoch=2**64 - 1, node=65535,
    issued_s=1_800_000_000, expires_s=1_800_086_400, until_s=1_900_000_000, rev=2**32 - 1, serial=255,
    platform=6, user="ann", device="d1",
)  # fmt: skip


def test_every_field_comes_back() -> None:
    ticket = seal_ticket([(7, KEY)], FIELDS)
    assert open_ticket([(8, OTHER), (7, KEY)], ticket) == FIELDS
    assert ticket != seal_ticket([(7, KEY)], FIELDS), "a nonce of its own"


def test_the_longest_names_fit() -> None:
    longest = FIELDS._replace(user="u" * NAME_MAX, device="d" * NAME_MAX)
    ticket = seal_ticket([(7, KEY)], longest)
    assert len(ticket) <= TICKET_MAX
    assert open_ticket([(7, KEY)], ticket) == longest
    with pytest.raises(ValueError, match="64 bytes"):
        seal_ticket([(7, KEY)], FIELDS._replace(user="u" * (NAME_MAX + 1)))


def test_another_library_opens_it() -> None:
    ticket = seal_ticket([(7, KEY)], FIELDS)
    plain = crypto_aead_xchacha20poly1305_ietf_decrypt(
        ticket[28:], b"qw1 ticket" + ticket[:4], ticket[4:28], KEY
    )
    assert plain[:33] == b"\x01" + FIELDS.psk
    assert plain.endswith(b"\x03ann\x02d1")


@pytest.mark.parametrize("keys", [[], [(7, OTHER)], [(8, KEY)]])
def test_without_its_key_it_is_nothing(keys: list[tuple[int, bytes]]) -> None:
    with pytest.raises(AuthenticationFailed):
        open_ticket(keys, seal_ticket([(7, KEY)], FIELDS))


def test_any_changed_cut_or_added_byte_is_refused() -> None:
    ticket = seal_ticket([(7, KEY)], FIELDS)
    for at in range(len(ticket)):
        with pytest.raises(AuthenticationFailed):
            open_ticket([(7, KEY)], ticket[:at] + bytes([ticket[at] ^ 1]) + ticket[at + 1 :])
        with pytest.raises(AuthenticationFailed):
            open_ticket([(7, KEY)], ticket[:at])
    with pytest.raises(AuthenticationFailed):
        open_ticket([(7, KEY)], ticket + b"x")
    with pytest.raises(AuthenticationFailed):
        open_ticket([(7, KEY)], bytes(300))
