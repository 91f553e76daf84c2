"""The core repeats what it holds: one telling at a time, for all who asked before it began.

A telling begins, each session is handed to the takers that want sessions, and when every loop has ended, all
topics are handed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from control.gateway.topics import Topics

RETRY_S = 0.1

# conn, user, device, platform, session id
Told = tuple[int, str, str, int, int]


class Taker(Protocol):
    """Who wants to know. Guarantee: what was told, and what the core's events said since `begin`, is the
    truth at `end`.
    """

    sessions: bool

    def begin(self) -> None: ...
    def session(self, told: Told) -> None: ...
    def end(self, topics: list[str]) -> None: ...


class Tellings:
    """`tell(loop, sessions)` makes a loop of the core repeat what it holds; it may raise `full`."""

    def __init__(
        self,
        topics: Topics,
        loops: int,
        tell: Callable[[int, bool], None],
        full: type[Exception],
    ) -> None:
        self._topics = topics
        self._loops = loops
        self._tell = tell
        self._full = full
        self._takers: list[Taker] = []  # of the telling under way
        self._later: list[Taker] = []  # of the one after it
        self._unasked: list[int] = []  # loops whose mailbox was full
        self._telling: set[int] = set()  # loops that have not ended

    def want(self, taker: Taker) -> None:
        self._later.append(taker)
        if not self._telling:
            self._begin()

    def on_session(self, told: Told) -> None:
        for taker in self._takers:
            if taker.sessions:
                taker.session(told)

    def on_end(self, loop: int) -> None:
        """This loop has repeated everything."""
        self._telling.discard(loop)
        if self._telling or not self._takers:
            return
        takers, self._takers = self._takers, []
        topics = self._topics.end()
        for taker in takers:
            taker.end(topics)
        if self._later and not self._telling:
            self._begin()

    def _begin(self) -> None:
        self._takers, self._later = self._later, []
        self._telling = set(range(self._loops))
        self._unasked = list(range(self._loops))
        self._topics.begin()
        for taker in self._takers:
            taker.begin()
        self._ask()

    def _ask(self) -> None:
        sessions = any(taker.sessions for taker in self._takers)
        while self._unasked:
            try:
                self._tell(self._unasked[-1], sessions)
            except self._full:
                asyncio.get_running_loop().call_later(RETRY_S, self._ask)
                return
            self._unasked.pop()


class UserTaker:
    """Wants to know the topics of all users."""

    sessions = False

    def __init__(self, take: Callable[[list[str]], None]) -> None:
        self._take = take

    def begin(self) -> None: ...

    def session(self, told: Told) -> None: ...

    def end(self, topics: Iterable[str]) -> None:
        self._take([name for name in topics if name.startswith("u/")])
