"""Sessions this process knows: by connection, by user. Knows nothing of policies (accounts/devices.py)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from im_service.limits import Bucket
from im_service.ports import Session

if TYPE_CHECKING:
    from im_service.chatrooms.room import RoomState
    from im_service.sending.routes import Route

MAX_STRAY = 10_000
"""Sessions that send here but logged in elsewhere: the oldest is forgotten above this number."""


class UserSessions:
    """The live sessions of one user in this process, by (node, connection)."""

    __slots__ = ("__weakref__", "live", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.live: dict[tuple[int, int], SessionState] = {}


class SessionState:
    """One session: its routes, lanes, rooms and buckets."""

    __slots__ = (
        "account", "bucket", "calls", "known_since_ms", "lanes", "platform", "ready", "rooms", "routes",
        "session",
        "session_id", "stray", "tags", "user_sessions",
    )  # fmt: skip

    def __init__(self, session: Session, user_sessions: UserSessions, platform: int, session_id: int) -> None:
        self.session = session
        self.user_sessions = user_sessions
        self.platform = platform
        self.session_id = session_id
        self.stray = False  # logged in at another im process
        # messages from then on count as offline messages of this device; -1: not looked up yet
        self.known_since_ms = -1
        self.routes: dict[str, Route] = {}
        self.lanes: dict[str, deque[Any]] = {}
        self.rooms: dict[str, RoomState] = {}
        self.tags: dict[str, tuple[str, ...]] = {}
        self.bucket = Bucket()
        self.calls = Bucket()
        self.ready: asyncio.Task[None] | None = None
        self.account: object | None = None  # keeps the account remembered while the session lives


class Sessions:
    """All sessions of this process, and the default answer to "who is online"."""

    def __init__(self) -> None:
        self._nodes: dict[int, dict[int, SessionState]] = {}
        self._users: WeakValueDictionary[str, UserSessions] = WeakValueDictionary()
        self._stray: dict[tuple[int, int], None] = {}
        self.count = 0

    def user(self, user: str) -> UserSessions:
        """The live sessions of a user; the same object as long as somebody holds it."""
        found = self._users.get(user)
        if found is None:
            found = UserSessions(user)
            self._users[user] = found
        return found

    def get(self, session: Session) -> SessionState | None:
        conns = self._nodes.get(session.node)
        return None if conns is None else conns.get(session.conn)

    def add(self, session: Session, platform: int, session_id: int) -> SessionState:
        """A session logged in. A state made by an early send is replaced."""
        self.remove(session)
        state = SessionState(session, self.user(session.user), platform, session_id)
        self._nodes.setdefault(session.node, {})[session.conn] = state
        state.user_sessions.live[session.node, session.conn] = state
        self.count += 1
        return state

    def stray(self, session: Session) -> SessionState:
        """State of a session that logged in at another im process."""
        state = SessionState(session, self.user(session.user), 0, 0)
        state.stray = True
        self._nodes.setdefault(session.node, {})[session.conn] = state
        self._stray[session.node, session.conn] = None
        if len(self._stray) > MAX_STRAY:
            self._forget_oldest_stray()
        return state

    def _forget_oldest_stray(self) -> None:
        """One that is in a room stays until its logout is told (ports.PeersPort)."""
        node, conn = next(iter(self._stray))
        del self._stray[node, conn]
        if not self._nodes[node][conn].rooms:
            del self._nodes[node][conn]

    def remove(self, session: Session) -> SessionState | None:
        """A session is gone. None if it was not known."""
        conns = self._nodes.get(session.node)
        state = None if conns is None else conns.get(session.conn)
        if conns is None or state is None or state.session != session:
            return None
        del conns[session.conn]
        self._stray.pop((session.node, session.conn), None)
        if not state.stray:
            state.user_sessions.live.pop((session.node, session.conn), None)
            self.count -= 1
        return state

    def drop_routes(self, user: str) -> None:
        """Forget what was resolved for this user's sends."""
        for state in self.user(user).live.values():
            state.routes.clear()

    def names(self) -> list[str]:
        """Every user with a live session here."""
        return [user for user, sessions in self._users.items() if sessions.live]

    def online(self, user: str) -> bool:
        found = self._users.get(user)
        return found is not None and bool(found.live)

    def devices(self, user: str) -> list[tuple[str, int]]:
        found = self._users.get(user)
        return [] if found is None else [(s.session.device, s.platform) for s in found.live.values()]
