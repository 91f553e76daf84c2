from collections.abc import Sequence
from typing import NamedTuple

LAYOUT: str

class TicketFields(NamedTuple):
    psk: bytes
    conn: int
    session: int
    epoch: int
    node: int
    issued_s: int
    expires_s: int
    until_s: int
    rev: int
    serial: int
    platform: int
    user: str
    device: str

def seal_ticket(keys: Sequence[tuple[int, bytes]], fields: TicketFields) -> bytes: ...
def open_ticket(keys: Sequence[tuple[int, bytes]], ticket: bytes) -> TicketFields: ...
