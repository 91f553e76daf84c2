"""Questions of one kind to one place: each asked once, and counted by what came of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec

from control.outgoing.errors import OutgoingError
from control.outgoing.outlet import Outlet
from im_service.ports import Clock


class HasVerdict(Protocol):
    @property
    def verdict(self) -> str:
        """In one word, for those who count."""


T = TypeVar("T", bound=HasVerdict)


class Questions:
    """JSON objects that begin with `kind`, `id` and `time_ms`."""

    def __init__(self, kind: str, outlet: Outlet, clock: Clock) -> None:
        self.kind = kind
        self._outlet = outlet
        self._clock = clock
        self.outcomes: dict[str, int] = {}
        """A verdict, or the kind of an OutgoingError -> how often."""
        self.seconds = 0.0

    async def ask(self, question: Mapping[str, object], read: Callable[[bytes], T], id: str = "") -> T:
        """Raises OutgoingError."""
        loop = asyncio.get_running_loop()
        began, outcome, id = loop.time(), "", id or fresh_id()
        head = {"kind": self.kind, "id": id, "time_ms": self._clock.now_ms()}
        try:
            found = await self._outlet.ask(id, msgspec.json.encode({**head, **question}), read)
            outcome = found.verdict
            return found
        except OutgoingError as error:
            outcome = error.kind
            raise
        finally:
            if outcome:  # else whoever asked has given up
                self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            self.seconds += loop.time() - began

    @property
    def away(self) -> bool:
        """It is left alone, or tried by one."""
        return self._outlet.state() != "closed"

    @property
    def under_way(self) -> int:
        return self._outlet.asked


def fresh_id() -> str:
    return f"q_{secrets.token_hex(12)}"


def numbers_of(all: Mapping[str, Questions]) -> dict[str, object]:
    """For metrics, by the names they have there."""
    return {
        "answers": {
            f"{name} {outcome}": count
            for name, questions in all.items()
            for outcome, count in questions.outcomes.items()
        },
        "seconds": {name: questions.seconds for name, questions in all.items()},
        "open": {name: int(questions.away) for name, questions in all.items()},
        "under_way": sum(questions.under_way for questions in all.values()),
    }
