"""The core repeats what it holds: one resync at a time, for all who asked before it began.

A resync begins, each topic is handed to the listeners and each session to those that want sessions, one by
one as the core tells them in slices, and it ends when every loop has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from control.gateway.topics import Topics
from frame.constants import USER_PREFIX

RETRY_S = 0.1

HeldSession = tuple[int, str, str, int, int]
"""(connection, user, device, platform, session id)"""


class ResyncListener(Protocol):
    """Who wants to know. Guarantee: what was repeated, and what the core's events said since `begin`, each in
    its place, is the truth at `end`. A topic may be repeated more than once.
    """

    sessions: bool

    def begin(self) -> None: ...
    def topic(self, topic: str) -> None: ...
    def session(self, held: HeldSession) -> None: ...

    def inside(self, held: HeldSession, room: str) -> None:
        """After its session, once for each room: its topic, and `#tag` for each tag there behind it."""
        return

    def end(self) -> None: ...


class Resync:
    """`repeat(loop, sessions)` makes a loop of the core repeat what it holds; it may raise `full`, or
    `not_running`: then nothing is held."""

    def __init__(
        self,
        topics: Topics,
        loops: int,
        repeat: Callable[[int, bool], None],
        full: type[Exception],
        not_running: tuple[type[Exception], ...] = (),
    ) -> None:
        self._topics = topics
        self._loops = loops
        self._repeat = repeat
        self._full = full
        self._not_running = not_running
        self._listeners: list[ResyncListener] = []  # of the resync under way
        self._later: list[ResyncListener] = []  # of the one after it
        self._unasked: list[int] = []  # loops whose mailbox was full
        self._repeating: set[int] = set()  # loops that have not ended

    def request(self, listener: ResyncListener) -> None:
        self._later.append(listener)
        if not self._repeating:
            self._begin()

    def on_topic(self, topic: str) -> None:
        if self._listeners:
            self._topics.held(topic)
            for listener in self._listeners:
                listener.topic(topic)

    def on_session(self, held: HeldSession, room: str = "") -> None:
        for listener in self._listeners:
            if listener.sessions and room:
                listener.inside(held, room)
            elif listener.sessions:
                listener.session(held)

    def on_loop_end(self, loop: int) -> None:
        """This loop has repeated everything."""
        self._repeating.discard(loop)
        if self._repeating or not self._listeners:
            return
        listeners, self._listeners = self._listeners, []
        self._topics.end()
        for listener in listeners:
            listener.end()
        if self._later and not self._repeating:
            self._begin()

    def _begin(self) -> None:
        self._listeners, self._later = self._later, []
        self._repeating = set(range(self._loops))
        self._unasked = list(range(self._loops))
        self._topics.begin()
        for listener in self._listeners:
            listener.begin()
        self._ask()

    def _ask(self) -> None:
        sessions = any(listener.sessions for listener in self._listeners)
        while self._unasked:
            try:
                self._repeat(self._unasked[-1], sessions)
            except self._full:
                asyncio.get_running_loop().call_later(RETRY_S, self._ask)
                return
            except self._not_running:
                return
            self._unasked.pop()


class UserTopics(ResyncListener):
    """Wants to know the topics of all users."""

    sessions = False

    def __init__(self, take: Callable[[list[str]], None]) -> None:
        self._take = take
        self._found: dict[str, None] = {}

    def begin(self) -> None: ...

    def topic(self, topic: str) -> None:
        if topic.startswith(USER_PREFIX):
            self._found[topic] = None

    def session(self, held: HeldSession) -> None: ...

    def end(self) -> None:
        self._take(list(self._found))
