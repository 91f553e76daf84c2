"""Why a request to somebody else's server came to nothing."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal[
    "timeout", "connect", "address", "tls", "broken", "large", "status", "garbage", "busy", "open", "closed"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""`timeout`: not done within its budget. `connect`: nobody there, or no such name. `address`: a place that is
not called (AddressPolicy). `tls`: no certificate that holds. `broken`: the connection ended, or that was no
HTTP. `large`: a longer answer than allowed. `status`: not the one that is wanted. `garbage`: an answer that
cannot be read. `busy`: too many are under way. `open`: the breaker lets nobody through. `closed`: this client
is."""


class OutgoingError(Exception):
    """`kind` is one of KINDS, fit for a label; the text is for people and says no more than they typed."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
