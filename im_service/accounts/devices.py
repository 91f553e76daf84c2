"""Logins: device records, the same device replacing itself, login policies, kicks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from frame.constants import CloseCode
from im_service.chatrooms.door import RoomDoor
from im_service.limits import Settings
from im_service.ports import Clock, Downlink, Session
from im_service.sessions import Sessions, SessionState
from im_service.state import Directory
from im_service.storage.base import Store
from im_service.storage.records import Login, Mark

_log = logging.getLogger("qianwan.im")


class Devices:
    """What happens when a session begins and ends."""

    def __init__(
        self, store: Store, clock: Clock, sessions: Sessions, directory: Directory, downlink: Downlink,
        settings: Settings, rooms: RoomDoor,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._directory = directory
        self._downlink = downlink
        self._settings = settings
        self._rooms = rooms
        self._tasks: set[asyncio.Task[None]] = set()

    def on_login(self, session: Session, platform: int, session_id: int) -> None:
        """Synchronous part: the session is known from here on, and its older self is closed."""
        state = self._sessions.add(session, platform, session_id)
        self._downlink.kick(
            session.user, session.device, session_id, CloseCode.SUPERSEDED, "the same device logged in anew"
        )
        state.ready = self._spawn(self._begin(state))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _begin(self, state: SessionState) -> None:
        session = state.session
        now = self._clock.now_ms()
        try:
            for group in await self._store.groups_of(session.user):
                self._downlink.join(session, "g/" + group.group)
            state.account = await self._directory.accounts.get(session.user)
            login = await self._store.login(
                session.user, session.device, state.platform, state.session_id, b"", now
            )
            await self._place(state, login)
        except Exception:
            _log.exception("login of a session failed")

    async def _place(self, state: SessionState, login: Login) -> None:
        """Decide from when on messages count as this device's offline messages; a new one gets the last N."""
        others = [d.first_login_ms for d in login.others]
        first = login.device.first_login_ms
        state.known_since_ms = first if others and min(others) < first else 0
        if login.is_new and state.known_since_ms:
            await self._skip_old(state)

    async def _skip_old(self, state: SessionState) -> None:
        """A new device owes no acknowledgement of what lies before the roaming window."""
        keep = self._settings.retention.roam_count
        session, cursor, more = state.session, 0, True
        while more:
            page = await self._store.changed(session.user, session.device, cursor, 500)
            marks = [Mark(r.conversation, r.last_seq - keep) for r in page.rows if r.last_seq > keep]
            if marks:
                await self._store.ack(session.user, session.device, marks)
            cursor, more = page.cursor, page.more

    def on_logout(self, session: Session, code: int) -> None:
        """The session is over; a later session of the same device is not touched."""
        state = self._sessions.remove(session)
        if state is not None:
            self._spawn(self._end(state))

    async def _end(self, state: SessionState) -> None:
        session = state.session
        if state.ready is not None:
            await asyncio.shield(state.ready)
        try:
            await self._rooms.logout(state)
            await self._store.logout(session.user, session.device, state.session_id, self._clock.now_ms())
        except Exception:
            _log.exception("logout of a session failed")

    async def close(self) -> None:
        """Wait until logins and logouts under way are done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
