"""Whose connections hear a group: its members', whatever overtakes what.

A login reads its groups in one transaction and joins them later. A change that another transaction makes
meanwhile, or another im process on its own way to the gateways, may come first there: then the membership is
looked at once more behind it, and said on the way of the process that serves the user.

A gateway that is taken for dead keeps its connections and their topics, and hears of no change meanwhile; nor
does an im process on its side of a cut. So the latest changes are remembered: when it is back, the membership
of each that is served here is looked at once more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from frame.constants import GROUP_PREFIX
from im_service.live.directory import Directory
from im_service.live.sessions import Sessions
from im_service.ports import Downlink
from im_service.storage.errors import StoreError

AGAIN_S = 0.5
MOST_RECENT = 50_000
"""Changes that are remembered, about 200 bytes each. Beyond: the oldest is forgotten; whom it put out, or in,
while their gateway was taken for dead hears the group, or does not, until they connect anew."""
AT_ONCE = 64
_log = logging.getLogger("qianwan.im")


class Memberships:
    """Told after `Directory.members` was refreshed."""

    def __init__(self, sessions: Sessions, directory: Directory, downlink: Downlink) -> None:
        self._sessions = sessions
        self._directory = directory
        self._downlink = downlink
        self._tasks: set[asyncio.Task[None]] = set()
        self._recent: OrderedDict[tuple[str, str], bool] = OrderedDict()  # (group, user) -> made here
        self._again = self._looking = False

    def changed_here(self, group: str, user: str) -> None:
        """This process has told the user's connections already: what is left are logins under way."""
        self._remember(group, user, here=True)
        if logins := self._logins(user):
            self._spawn(group, user, logins)

    def changed_elsewhere(self, group: str, user: str) -> None:
        self._remember(group, user, here=False)
        if self._sessions.here(user):
            self._spawn(group, user, self._logins(user))

    def _remember(self, group: str, user: str, *, here: bool) -> None:
        self._recent.pop((group, user), None)
        self._recent[group, user] = here
        if len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)

    def recent_here(self) -> list[str]:
        """The latest that this process made, as words to others: one that was cut off has not heard them."""
        return [f"{group} {user}" for (group, user), here in self._recent.items() if here]

    def look_at_recent(self) -> None:
        """A gateway is back that was not there, or not heard, when they were made."""
        self._again = True
        if self._recent and not self._looking:
            self._looking = True
            self._keep(asyncio.get_running_loop().create_task(self._look_at_recent()))

    async def _look_at_recent(self) -> None:
        try:
            while self._again:
                self._again = False
                due = [key for key in self._recent if self._sessions.here(key[1])]
                for start in range(0, len(due), AT_ONCE):
                    slice_ = due[start : start + AT_ONCE]
                    await asyncio.gather(
                        *(self._look_again(group, user, self._logins(user)) for group, user in slice_)
                    )
        finally:
            self._looking = False

    def _logins(self, user: str) -> list[asyncio.Future[None]]:
        return [state.ready for state in self._sessions.user(user).live if state.ready is not None]

    def _spawn(self, group: str, user: str, logins: list[asyncio.Future[None]]) -> None:
        self._keep(asyncio.get_running_loop().create_task(self._look_again(group, user, logins)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_again(self, group: str, user: str, logins: list[asyncio.Future[None]]) -> None:
        if logins:
            await asyncio.wait(logins)
        while self._sessions.here(user):
            try:
                member = await self._directory.members.get((group, user))
            except StoreError as error:
                _log.warning("who hears a group waits for the store: %s", error)
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception:
                _log.exception("who hears a group could not be looked at")
                return
            if member.record is None:
                self._downlink.leave_user(user, GROUP_PREFIX + group)
            else:
                self._downlink.join_user(user, GROUP_PREFIX + group)
            return

    def stop(self) -> None:
        """The process ends: what the store does not say now is left."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Wait until what is under way is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
