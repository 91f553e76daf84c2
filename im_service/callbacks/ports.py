"""The way to the application's server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from im_service.callbacks.kinds import Kind


class Answered(Protocol):
    """What an answer was made into."""

    @property
    def verdict(self) -> str:
        """In one word, for those who count."""


T = TypeVar("T", bound=Answered)


class CallbackPort(Protocol):
    """Asked from the asyncio thread."""

    def asks(self, kind: Kind) -> bool:
        """Does the application want to be asked about this? Called per message: be quick."""

    async def ask(self, kind: Kind, question: Mapping[str, object], read: Callable[[bytes], T]) -> T | None:
        """One question, one attempt, within the time it has. `read` makes of the answer's body what is
        wanted; what it refuses with ValueError counts as no answer. None: there was none, and what was asked
        about may go on. Raises ImError 503 where it may not."""
