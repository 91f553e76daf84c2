"""A live session, and the live sessions of one user."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from im_service.live.directory import AccountState
from im_service.live.room import RoomState
from im_service.live.route import Route
from im_service.ports import SendItem, Session
from im_service.rates import Bucket

GONE = -1
"""Of SessionState.away: those who watch have heard of it."""


class UserSessions:
    """The live sessions of one user in this process, in the order of their logins."""

    __slots__ = ("__weakref__", "live")

    def __init__(self) -> None:
        self.live: tuple[SessionState, ...] = ()


class Spent(NamedTuple):
    """What a session has used of its rates; the account's are in its state."""

    account: AccountState
    bucket: Bucket
    calls: Bucket


class SessionState:
    """One session: its routes, lanes, rooms and buckets.

    Most sessions of a large node are idle, so what only a sender, a caller or a guest of a room needs is made
    when it is first asked for.
    """

    __slots__ = (
        "account",
        "away",
        "bucket",
        "calls",
        "known_since_ms",
        "lanes",
        "over",
        "platform",
        "ready",
        "rooms",
        "routes",
        "session",
        "session_id",
        "stray",
        "tags",
    )
    routes: dict[str, Route]
    lanes: dict[str, deque[SendItem]]
    rooms: dict[str, RoomState]
    tags: dict[str, tuple[str, ...]]
    bucket: Bucket
    calls: Bucket
    _LATER: ClassVar[dict[str, Callable[[], object]]] = {
        "routes": dict,
        "lanes": dict,
        "rooms": dict,
        "tags": dict,
        "bucket": Bucket,
        "calls": Bucket,
    }

    def __init__(self, session: Session, platform: int, session_id: int) -> None:
        self.session = session
        self.platform = platform
        self.session_id = session_id
        self.stray = False  # logged in at another im process
        self.over = False  # nothing may be kept for it any more
        self.away = 0  # it has no connection and waits for its client: for which time; GONE: that was told
        # messages from then on count as offline messages of this device; -1: not looked up yet
        self.known_since_ms = -1
        self.ready: asyncio.Future[None] | None = None  # while the store has not taken the login
        self.account: AccountState | None = None  # since the first send; remembered while the session lives

    if not TYPE_CHECKING:  # a type checker shall still find misspelt names

        def __getattr__(self, name: str) -> object:
            """A slot that nothing was put into."""
            if name not in self._LATER:
                raise AttributeError(name)
            made = self._LATER[name]()
            setattr(self, name, made)
            return made
