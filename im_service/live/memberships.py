"""Whose connections hear a group: its members', whatever overtakes what.

A login reads its groups in one transaction and joins them later. A change that another transaction makes
meanwhile, or another im process on its own way to the gateways, may come first there: then the membership is
looked at once more behind it, and said on the way of the process that serves the user.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from frame.constants import GROUP_PREFIX
from im_service.live.directory import Directory
from im_service.live.sessions import Sessions
from im_service.ports import Downlink
from im_service.storage.errors import StoreError

AGAIN_S = 0.5
LATELY_S = 10.0
"""A change may be told so long after its word to the gateways went out."""
_log = logging.getLogger("qianwan.im")


class Memberships:
    """Told after `Directory.members` was refreshed."""

    def __init__(self, sessions: Sessions, directory: Directory, downlink: Downlink) -> None:
        self._sessions = sessions
        self._directory = directory
        self._downlink = downlink
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: asyncio.Future[None] | None = None
        self._freed = float("-inf")

    def changed_here(self, group: str, user: str) -> None:
        """This process has told the user's connections already: what is left are logins under way, and what
        was read before the change and told behind it (accounts/hearings.py)."""
        under_way = self._under_way(user)
        lately = asyncio.get_running_loop().time() - self._freed < LATELY_S
        if under_way or (lately and self._sessions.here(user)):
            self._spawn(group, user, under_way)

    def changed_elsewhere(self, group: str, user: str) -> None:
        if self._sessions.here(user):
            self._spawn(group, user, self._under_way(user))

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """What many users hear is read and told inside."""
        held = self._in_hand = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            self._in_hand, self._freed = None, asyncio.get_running_loop().time()
            held.set_result(None)

    def _under_way(self, user: str) -> list[asyncio.Future[None]]:
        live = self._sessions.user(user).live
        found = [state.ready for state in live if state.ready is not None]
        if live and self._in_hand is not None:
            found.append(self._in_hand)
        return found

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
