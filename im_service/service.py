"""The door of the IM service: the gateway's events come in here, everything else is wired here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from im_service.accounts.devices import Devices
from im_service.admission import Admission
from im_service.calls import Args, Caller, Calls, Method
from im_service.chatrooms.door import RoomDoor
from im_service.chatrooms.room import RoomTable
from im_service.delivery import Delivery
from im_service.ids import ServerIds
from im_service.limits import Settings
from im_service.messages import Item, Messages
from im_service.ports import Clock, Downlink, Session, SystemClock
from im_service.routes import Routes
from im_service.sessions import Sessions
from im_service.state import Directory
from im_service.storage.base import Store
from im_service.sync import Sync

_log = logging.getLogger("qianwan.im")


class ImService:
    """One im process. Everything runs on one asyncio thread; the store has its own."""

    def __init__(
        self, store: Store, downlink: Downlink, clock: Clock | None = None, settings: Settings | None = None
    ) -> None:
        self.settings = settings = settings or Settings()
        clock = clock or SystemClock()
        self.sessions = Sessions()
        self.directory = Directory(store)
        self.room_table = RoomTable(store, settings, Random())
        self.delivery = Delivery(downlink, self.sessions, True)
        self.messages = Messages(
            store, clock, self.sessions, Routes(self.directory, self.sessions, self.room_table),
            Admission(settings), self.delivery, ServerIds(settings.node), (),
        )  # fmt: skip
        self.sync = Sync(store, clock, self.sessions, downlink, settings)
        self.room_door = RoomDoor(store, self.room_table, self.sessions, downlink, settings)
        self.devices = Devices(store, clock, self.sessions, self.directory, downlink, settings, self.room_door)
        self.calls = Calls(
            [self.sync, self.room_door, self.devices], self.sessions, clock, downlink, settings.call_rate
        )

    def on_sends(self, batch: Sequence[Item]) -> None:
        """Sends of one gateway batch: (session, request, target, payload). Answered through the downlink."""
        self.messages.on_sends(batch)

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None:
        """One CALL. Answered through the downlink."""
        self.calls.on_call(session, request, method, payload)

    def on_login(self, session: Session, platform: int, session_id: int) -> None:
        """A session is live (its connection is in u/<user> already). Call it before any send or call of it."""
        self.devices.on_login(session, platform, session_id)

    def on_logout(self, session: Session, code: int) -> None:
        """A session is over."""
        self.devices.on_logout(session, code)

    @property
    def methods(self) -> Mapping[str, Method]:
        """Every CALL method, by name."""
        return self.calls.methods

    async def invoke(self, name: str, args: Mapping[str, Any] | Args, user: str = "") -> Any:
        """Run a method as the application's server, acting for `user`. Raises ImError."""
        return await self.calls.invoke(name, args, Caller(user, "", None, True))

    async def start(self) -> None:
        """Begin background work. The store is started by its owner."""

    async def settle(self) -> None:
        """Wait until logins, logouts, calls and waiting sends under way are done."""
        await self.devices.close()
        await self.calls.close()
        await self.messages.close()

    async def stop(self) -> None:
        """Finish what is under way, so that the store may be stopped."""
        await self.settle()
