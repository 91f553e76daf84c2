"""The durable copy of events for other systems: what the service asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Copy(NamedTuple):
    """One event for the application's own server. `env` names the endpoint, None the default one."""

    event: str
    env: str | None
    body: bytes


class CopyPort(Protocol):
    """Copies to third parties, offered after the commit."""

    def offer(self, copies: Sequence[Copy]) -> None: ...
