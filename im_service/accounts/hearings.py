"""What the connections of a user hear, set anew from the store where words about it may be lost.

An im process tells gateways who comes into a group and who is put out, and other im processes that
something changed. A word to a gateway that is taken for dead or cut off is not repeated, nor is one between
im processes that do not know of each other: when they are heard again, the store says what is true.

    a gateway repeats its sessions (words from it or to it were lost)  -> the users of these sessions
    another im process is back, or its words were lost                 -> all users who are here
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from frame.constants import GROUP_PREFIX
from im_service.context import ServiceContext
from im_service.live.users import SessionState
from im_service.storage.errors import StoreError
from im_service.storage.records import Hearing

AT_ONCE = 256
"""Users in one trip to the store, as logins."""
PAUSE_S = 0.05
"""Between two trips: 100,000 users take half a minute, beside everything else."""
AGAIN_S = 0.5
WORDS = 500
"""To gateways in one turn of the event loop."""
_log = logging.getLogger("qianwan.im")


class Hearings:
    """`shut` ends all sessions of a user whose account is disabled."""

    def __init__(self, context: ServiceContext, shut: Callable[[str], None]) -> None:
        self._store = context.store
        self._clock = context.clock
        self._sessions = context.sessions
        self._downlink = context.downlink
        self._memberships = context.memberships
        self._shut = shut
        self._due: dict[str, bool] = {}  # user -> the groups that they are in have to be told too
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def anew(self, users: Iterable[str], joined: bool = False) -> None:
        """`joined`: their sessions log in just now, and hear the groups that they are in by that."""
        if self._stopping:
            return
        for user in users:
            self._due[user] = self._due.get(user, False) or not joined
        if self._due and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._all())

    async def _all(self) -> None:
        while self._due:
            due = {user: self._due[user] for user in list(self._due)[:AT_ONCE]}
            for user in due:
                del self._due[user]
            try:
                await self._some({user: joins for user, joins in due.items() if self._sessions.here(user)})
            except StoreError as error:
                _log.warning("what %d users hear waits for the store: %s", len(due), error)
                self.anew([user for user, joins in due.items() if joins])
                self.anew([user for user, joins in due.items() if not joins], joined=True)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                _log.exception("what %d users hear could not be looked at", len(due))
            if self._due:
                await asyncio.sleep(PAUSE_S)

    async def _some(self, due: dict[str, bool]) -> None:
        """What changes while these are told is looked at once more behind it."""
        if not due:
            return
        with self._memberships.in_hand():
            said = 0
            for user, hearing in (await self._store.hearings(list(due))).items():
                if hearing.account.disabled_until_ms > self._clock.now_ms():
                    self._shut(user)
                    continue
                for state in self._sessions.user(user).live:
                    said += self._tell(state, hearing, due[user])
                if said >= WORDS:
                    said = 0
                    await asyncio.sleep(0)

    def _tell(self, state: SessionState, hearing: Hearing, joins: bool) -> int:
        """-> how many words"""
        left, groups = set(hearing.left).difference(hearing.groups), hearing.groups if joins else ()
        for group in left:
            self._downlink.leave(state.session, GROUP_PREFIX + group)
        for group in groups:
            self._downlink.join(state.session, GROUP_PREFIX + group)
        return len(left) + len(groups)

    def stop(self) -> None:
        """The process ends: what the store does not say now is left."""
        self._stopping = True
        self._due.clear()

    async def close(self) -> None:
        """Wait until what is due is done."""
        while self._task is not None and not self._task.done():
            await asyncio.gather(self._task, return_exceptions=True)
