"""Sessions this process knows: by connection, by user. Knows nothing of policies (accounts/devices.py)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from weakref import WeakValueDictionary

from im_service.live.spent_rates import SpentRates
from im_service.live.users import GONE, SessionState, Spent, UserSessions
from im_service.ports import Clock, LiveDevices, Session, SystemClock

MAX_STRAY = 10_000
"""Sessions that send here but logged in elsewhere: the oldest is forgotten above this number."""
MAX_OVER, OVER_MS = 10_000, 10_000
"""Sessions that ended, and how long that is remembered: what they said may come later than their end, which
another im process tells."""
MAX_AWAY = 200_000
"""Users of whom another im process said that they are away: the first is forgotten above this number."""
MAX_SPENT = 10_000
"""Accounts without a session whose rates go on: the one that left first is forgotten above this number."""


class Sessions:
    """All sessions of this process, and the default answer to "who is online"."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.rates = SpentRates(self._clock)
        self._nodes: dict[int, dict[int, SessionState]] = {}
        self._online: dict[str, UserSessions] = {}
        self._offline: WeakValueDictionary[str, UserSessions] = WeakValueDictionary()
        self._stray: dict[tuple[int, int], None] = {}
        self._over: OrderedDict[Session, int] = OrderedDict()  # since when by elapsed_ms, oldest first
        self._spent: OrderedDict[str, Spent] = OrderedDict()
        self._away: OrderedDict[str, None] = OrderedDict()  # users, as other im processes told
        self.count = 0

    def user(self, user: str) -> UserSessions:
        """The live sessions of a user; the same object as long as somebody holds it."""
        found = self._online.get(user) or self._offline.get(user)
        if found is None:
            found = self._offline[user] = UserSessions()
        return found

    def get(self, session: Session) -> SessionState | None:
        conns = self._nodes.get(session.node)
        return None if conns is None else conns.get(session.conn)

    def hear(self, session: Session) -> SessionState:
        """Who says this: a session that is known, or one that logged in elsewhere. One that is over has a
        state that nobody keeps."""
        state = self.get(session)
        if state is not None:
            return state
        if self._clock.elapsed_ms() - self._over.get(session, -OVER_MS) < OVER_MS:
            return _nobody(session)
        return self.stray(session)

    def still(self, session: Session) -> SessionState:
        """After a wait, of a session that was heard: it may be over since."""
        state = self.get(session)
        return _nobody(session) if state is None else state

    def add(self, session: Session, platform: int, session_id: int) -> SessionState:
        """A session logged in. A state made by an early send is replaced; the rooms it is in are kept."""
        early = self.remove(session)
        self._over.pop(session, None)
        state = SessionState(session, platform, session_id)
        if early is not None and early.rooms:
            state.rooms, state.tags = early.rooms, early.tags
        self._begin(state)
        self._nodes.setdefault(session.node, {})[session.conn] = state
        mine = self._online.get(session.user)
        if mine is None:
            mine = self._online[session.user] = self.user(session.user)
            self._offline.pop(session.user)
        mine.live = (*mine.live, state)
        self.count += 1
        return state

    def _begin(self, state: SessionState) -> None:
        """Whatever device this is, it has left of its rates what the poorest one of the account has: clients
        choose the names of their devices."""
        user = state.session.user
        spent = self._spent.pop(user, None)
        if spent is not None:
            state.account, state.bucket, state.calls = spent
        mine = self._online.get(user)
        for other in () if mine is None else mine.live:
            if other.account is not None:
                state.bucket.full_ms = max(state.bucket.full_ms, other.bucket.full_ms)
                state.calls.full_ms = max(state.calls.full_ms, other.calls.full_ms)

    def stray(self, session: Session) -> SessionState:
        """State of a session that logged in at another im process."""
        state = SessionState(session, 0, 0)
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
        state = self._nodes[node][conn]
        if not state.rooms:
            self._keep(state)
            state.over = True
            del self._nodes[node][conn]

    def remove(self, session: Session) -> SessionState | None:
        """A session is gone. None if it was not known."""
        self._over[session] = self._clock.elapsed_ms()
        self._over.move_to_end(session)
        if len(self._over) > MAX_OVER:
            self._over.popitem(last=False)
        conns = self._nodes.get(session.node)
        state = None if conns is None else conns.get(session.conn)
        if conns is None or state is None or state.session != session:
            return None
        state.over = True
        self._keep(state)
        del conns[session.conn]
        if not conns:
            del self._nodes[session.node]
        if state.stray:
            self._stray.pop((session.node, session.conn), None)
            return state
        mine = self._online[session.user]
        mine.live = tuple(other for other in mine.live if other is not state)
        if not mine.live:
            # Routes of other people's sessions may hold it until they are back.
            self._offline[session.user] = self._online.pop(session.user)
        self.count -= 1
        return state

    def _keep(self, state: SessionState) -> None:
        """Rates are an account's, a device's and a conversation's: neither a reconnect nor another device
        fills them."""
        if state.account is None:
            return
        self.rates.keep(state.routes.values())
        user = state.session.user
        spent = self._spent.get(user)
        if spent is not None:
            state.bucket.full_ms = max(state.bucket.full_ms, spent.bucket.full_ms)
            state.calls.full_ms = max(state.calls.full_ms, spent.calls.full_ms)
        self._spent[user] = Spent(state.account, state.bucket, state.calls)
        self._spent.move_to_end(user)
        if len(self._spent) > MAX_SPENT:
            self._spent.popitem(last=False)

    def at(self, node: int) -> list[Session]:
        """Sessions of one node that logged in here."""
        return [state.session for state in self._nodes.get(node, {}).values() if not state.stray]

    def count_at(self, node: int) -> int:
        """As many as `at` names."""
        return len(self._nodes.get(node, ())) - sum(other == node for other, _ in self._stray)

    def strays_at(self, node: int) -> list[Session]:
        """Sessions of one node that logged in elsewhere and said something here."""
        return [state.session for state in self._nodes.get(node, {}).values() if state.stray]

    def live(self) -> list[SessionState]:
        """Every session that logged in here."""
        return [state for user in self._online.values() for state in user.live]

    def total(self) -> int:
        return self.count

    def names(self) -> list[str]:
        """Every user with a live session here."""
        return list(self._online)

    def here(self, user: str) -> bool:
        """A session of theirs is here, with a connection or without."""
        return user in self._online

    def online(self, user: str) -> bool:
        return any(not state.away for state in self._live(user))

    def away(self, user: str) -> bool:
        """All of their sessions wait for their clients, as far as is known here."""
        return not self.online(user) if user in self._online else user in self._away

    def away_here(self) -> list[str]:
        return [user for user in self._online if not self.online(user)]

    def heard_away(self, user: str, away: bool) -> None:
        """Another im process told whether this user has a device that is there."""
        self._away.pop(user, None)
        if away:
            self._away[user] = None
            if len(self._away) > MAX_AWAY:
                self._away.popitem(last=False)

    def forget_away(self) -> None:
        """Others' words may be lost: they say it again."""
        self._away.clear()

    def devices_here(self, user: str) -> LiveDevices:
        """Of sessions that have a connection, or had one a moment ago."""
        return [(s.session.device, s.platform) for s in self._live(user) if s.away != GONE]

    def devices_kept(self, user: str) -> set[str]:
        """Of all sessions here."""
        return {state.session.device for state in self._live(user)}

    def _live(self, user: str) -> tuple[SessionState, ...]:
        found = self._online.get(user)
        return () if found is None else found.live

    async def devices(self, users: Sequence[str]) -> dict[str, LiveDevices]:
        """As ports.Presence, where every session logs in here."""
        return {user: self.devices_here(user) for user in users}


def _nobody(session: Session) -> SessionState:
    """The state of a session that is over: for its last words, kept by nobody."""
    state = SessionState(session, 0, 0)
    state.over = True
    return state
