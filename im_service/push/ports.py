"""Push through a vendor: what the service asks of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from im_service.storage.records import PushToken


class Push(NamedTuple):
    """What one device is told."""

    to: PushToken
    conversation: str  # "" = not told, as it names the sender
    server_id: int
    sender: str
    title: str  # "" = none
    text: str
    payload: str  # text of a JSON object, or ""
    badge: int  # unread messages of all conversations that count
    forced: bool  # overrides the receiver's mute of the conversation
    recalls: bool  # stands in the place of what was pushed of this message, and makes no sound
    expires_ms: int  # 0 = with the vendor's patience

    @property
    def user(self) -> str:
        return self.to.user

    @property
    def collapse(self) -> str:
        """A later push of the same takes the place of an earlier one at the device."""
        return str(self.server_id)


Done = Callable[[], None]


def nobody_waits() -> None:
    """Where it is all the same when they are done."""


class PushPort(Protocol):
    """Vendor push."""

    def offer(self, pushes: Sequence[Push], done: Done = nobody_waits) -> None:
        """Committed messages only. Neither waits nor fails. `done` is told once, when each of them was taken
        or refused by its vendor, or was given up; never where the process ends before."""

    async def drained(self) -> None:
        """Until what vendors take now is with them; some seconds at most."""

    def cancel(self, server_id: int) -> set[PushToken]:
        """The message was recalled: its pushes that no vendor has yet are dropped. -> to whom those were"""

    def takes(self, vendor: str, app: str) -> bool:
        """Whether there is a way to this vendor for this app."""

    async def test(self, push: Push) -> str:
        """Sent at once and once; "sent", or why it was not."""


class NoPush:
    """There is no vendor: tokens are kept, nobody is told."""

    def offer(self, pushes: Sequence[Push], done: Done = nobody_waits) -> None:
        done()

    async def drained(self) -> None:
        return

    def cancel(self, server_id: int) -> set[PushToken]:
        return set()

    def takes(self, vendor: str, app: str) -> bool:
        return False

    async def test(self, push: Push) -> str:
        return "no push vendor is set up ([push])"
