"""What a vendor is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from control.outgoing.client import Answer
from control.outgoing.errors import OutgoingError
from im_service.push.ports import Push

Kind = Literal["sent", "gone", "refused", "later", "failed"]


LONGEST_AFTER_S = 86_400.0
"""That Retry-After may ask for: longer than any push is worth something."""


class Outcome(NamedTuple):
    """`sent`: the vendor has it. `gone`: it knows the token no more. `refused`: it will not take this,
    however often it is asked. `later`: it takes it after a while (`after_s` as it said, 0: it did not say).
    `failed`: it could not be reached, or failed itself; nobody may know whether it has it (`broken`: the
    connection ended)."""

    kind: Kind
    text: str = ""
    after_s: float = 0.0
    broken: bool = False


SENT = Outcome("sent")


class Vendor(Protocol):
    """One way to devices. Two sends of one Push are one notification at the device: each vendor gets what it
    needs to tell (a collapse id, and an id of the push that stays the same)."""

    @property
    def names(self) -> Sequence[str]:
        """As devices call it."""

    def takes(self, app: str) -> bool: ...

    async def send(self, push: Push) -> Outcome:
        """Once. Does not fail."""


def lost(error: OutgoingError) -> Outcome:
    """Nothing came back."""
    return Outcome("failed", f"{error.kind}: {error}", broken=error.kind == "broken")


def by_status(answer: Answer, text: str) -> Outcome:
    """What a status says by itself: 429 and 5xx are asked again, other refusals are not."""
    if answer.good:
        return SENT
    if answer.status == 429:
        return Outcome("later", text, retry_after_s(answer))
    if answer.status >= 500:
        return Outcome("failed", text, retry_after_s(answer))
    return Outcome("refused", text)


def retry_after_s(answer: Answer) -> float:
    """In seconds, at most LONGEST_AFTER_S; a date says nothing here."""
    said = answer.headers.get("retry-after", "").strip()
    return min(float(said[:9]), LONGEST_AFTER_S) if said.isascii() and said.isdecimal() else 0.0
