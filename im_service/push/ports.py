"""Push through a vendor: what the service asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Push(NamedTuple):
    """One vendor push: to whom, what it says, and why it is allowed to."""

    user: str
    conversation: str
    server_id: int
    text: str
    payload: str
    badge: bool  # counts in the badge number
    forced: bool  # overrides the receiver's mute of the conversation
    sender: str


class PushPort(Protocol):
    """Vendor push. Only receivers without a live session are offered."""

    def offer(self, pushes: Sequence[Push]) -> None: ...

    def cancel(self, conversation: str, server_id: int) -> None:
        """The message was recalled: pushes not yet handed to a vendor are dropped."""
