"""The way to an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeVar


class Found(Protocol):
    """What an answer was made into."""

    @property
    def verdict(self) -> str:
        """In one word, for those who count."""


T = TypeVar("T", bound=Found)


class Unanswered(Exception):
    """The engine gave no answer that can be used, within the time it has; or is left alone for a while."""


class MediaRules(NamedTuple):
    """At most `waiting` messages are under way; each is tried so often, at first `retry_s` apart, then twice
    that, and so on. `heed_off` as of texts."""

    kinds: frozenset[str]
    types: frozenset[int]
    waiting: int
    tries: int
    retry_s: float
    heed_off: bool


class EnginePort(Protocol):
    """One engine. Asked from the asyncio thread."""

    async def ask(self, question: Mapping[str, object], read: Callable[[bytes], T]) -> T:
        """One question, one attempt. `read` makes of the answer's body what is wanted; what it refuses with
        ValueError counts as no answer. Raises Unanswered."""


class MediaPort(EnginePort, Protocol):
    """The engine that looks at media."""

    @property
    def rules(self) -> MediaRules: ...
