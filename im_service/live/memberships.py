"""Whose connections hear a group: its members', whatever overtakes what.

A login reads its groups in one transaction and joins them later. A change that another transaction makes
meanwhile, or another im process on its own way to the gateways, may come first there: then the membership is
looked at once more behind it, and said on the way of the process that serves the user.
"""

from __future__ import annotations

import asyncio
import logging

from frame.constants import GROUP_PREFIX
from im_service.live.directory import Directory
from im_service.live.sessions import Sessions
from im_service.ports import Downlink
from im_service.storage.errors import StoreError

AGAIN_S = 0.5
_log = logging.getLogger("qianwan.im")


class Memberships:
    """Told after `Directory.members` was refreshed."""

    def __init__(self, sessions: Sessions, directory: Directory, downlink: Downlink) -> None:
        self._sessions = sessions
        self._directory = directory
        self._downlink = downlink
        self._tasks: set[asyncio.Task[None]] = set()

    def changed_here(self, group: str, user: str) -> None:
        """This process has told the user's connections already: what is left are logins under way."""
        if logins := self._logins(user):
            self._spawn(group, user, logins)

    def changed_elsewhere(self, group: str, user: str) -> None:
        if self._sessions.here(user):
            self._spawn(group, user, self._logins(user))

    def _logins(self, user: str) -> list[asyncio.Future[None]]:
        return [state.ready for state in self._sessions.user(user).live if state.ready is not None]

    def _spawn(self, group: str, user: str, logins: list[asyncio.Future[None]]) -> None:
        task = asyncio.get_running_loop().create_task(self._look_again(group, user, logins))
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
