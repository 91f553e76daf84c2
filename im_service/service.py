"""The door of the IM service: the gateway's events come in here, everything else is wired here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from random import Random
from typing import Any

from im_service.accounts.devices import Devices
from im_service.accounts.presence import PresenceBook
from im_service.accounts.profiles import Profiles
from im_service.accounts.relations import Relations
from im_service.calls import Arguments, Caller, Calls
from im_service.chatrooms.admin import RoomAdmin
from im_service.chatrooms.door import RoomDoor
from im_service.chatrooms.queue import RoomQueue
from im_service.conversation.access import Access
from im_service.conversation.list import Conversations
from im_service.conversation.receipts import Receipts
from im_service.conversation.revisions import Revisions
from im_service.conversation.sync import Sync
from im_service.groups.admin import GroupAdmin
from im_service.groups.context import GroupContext
from im_service.groups.members import GroupMembers
from im_service.ids import ServerIds
from im_service.live.directory import Directory
from im_service.live.room import RoomTable
from im_service.live.sessions import Sessions
from im_service.notices import Announcer
from im_service.outbox.ports import CopyPort
from im_service.ports import Clock, Downlink, NoPeers, PeersPort, Presence, Session, SystemClock
from im_service.push.decide import Asides
from im_service.push.ports import PushPort
from im_service.sending.admission import Admission
from im_service.sending.delivery import Delivery
from im_service.sending.hooks import Hook
from im_service.sending.judging import Judge
from im_service.sending.messages import Item, Messages
from im_service.sending.resolve import RouteResolver
from im_service.sending.server_sends import ServerSends
from im_service.settings import ImSettings
from im_service.storage.errors import StoreError
from im_service.storage.records import Limits
from im_service.storage.store import Store

_log = logging.getLogger("qianwan.im")


class ImService:
    """One im process. Everything runs on one asyncio thread; the store has its own.

    `presence` None means that every session of every user logs in at this process, so its own table
    answers who is online and publications to absent users are saved.
    """

    def __init__(
        self, store: Store, downlink: Downlink, clock: Clock | None = None,
        settings: ImSettings | None = None, *,
        moderation: Hook | None = None, callback: Hook | None = None, push: PushPort | None = None,
        copy: CopyPort | None = None, peers: PeersPort | None = None, presence: Presence | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings = settings or ImSettings()
        self._store = store
        self._clock = clock = clock or SystemClock()
        peers = peers or NoPeers()
        ids = ServerIds(settings.node)
        self.sessions = Sessions()
        self.directory = Directory(store)
        self.room_table = RoomTable(store, settings, Random())
        self._delivery = Delivery(downlink, self.sessions, presence is None)
        announcer = Announcer(clock, ids, downlink, copy)
        access = Access(store, clock, self.directory, self.sessions)
        judge = Judge(store, [hook for hook in (moderation, callback) if hook is not None])
        self.messages = Messages(
            store, clock, self.sessions, RouteResolver(self.directory, self.sessions, self.room_table),
            Admission(settings), self._delivery, ids, judge, settings.receipt_members,
        )  # fmt: skip
        self.sync = Sync(store, clock, self.sessions, downlink, access, settings)
        self.conversations = Conversations(store, clock, access, announcer, settings)
        self.revisions = Revisions(store, clock, access, announcer, settings, push, self.messages)
        self.receipts = Receipts(store, clock, access, announcer, settings)
        context = GroupContext(store, clock, self.directory, announcer, peers, settings)
        self.group_admin = GroupAdmin(context, ids)
        self.group_members = GroupMembers(context)
        self.room_door = RoomDoor(store, self.room_table, self.sessions, downlink, settings)
        self.room_admin = RoomAdmin(
            store, clock, self.room_table, self.room_door, announcer, ids, peers, settings
        )
        self.room_queue = RoomQueue(store, self.room_table, announcer, settings)
        self.relations = Relations(store, clock, self.directory, announcer, peers, settings)
        self.profiles = Profiles(store, clock, self.directory, announcer, peers)
        self.presence = PresenceBook(clock, downlink, presence or self.sessions, settings)
        self.devices = Devices(
            store, clock, self.sessions, announcer, settings, self.room_door, self.presence,
            presence or self.sessions, peers,
        )  # fmt: skip
        self.server_sends = ServerSends(store, clock, self.messages, announcer, self.sessions, ids, peers)
        self._asides: Asides | None = None
        if push is not None or copy is not None:
            self._asides = Asides(store, presence or self.sessions, push, copy, judge)
            self._delivery.aside = self._asides
        services = (
            self.sync, self.conversations, self.revisions, self.receipts, self.group_admin,
            self.group_members,
            self.room_door, self.room_admin, self.room_queue, self.relations, self.profiles, self.presence,
            self.devices, self.server_sends,
        )  # fmt: skip
        self.calls = Calls(services, self.sessions, clock, downlink, settings.call_rate)
        self._background: list[asyncio.Task[None]] = []

    # -- the gateway's events

    def on_sends(self, batch: Sequence[Item]) -> None:
        """Sends of one gateway batch: (session, request, target, payload). Answered through the downlink."""
        self.messages.on_sends(batch)

    def busy(self) -> bool:
        """Sends wait for their commit in numbers: take no more events for now."""
        return self.messages.busy()

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None:
        """One CALL. Answered through the downlink."""
        self.calls.on_call(session, request, method, payload)

    def on_login(self, session: Session, platform: int, session_id: int) -> None:
        """A session is live (its connection is in u/<user> already). Call it before any send or call of
        it."""
        self.devices.on_login(session, platform, session_id)

    def on_logout(self, session: Session, code: int) -> None:
        """A session is over."""
        self.devices.on_logout(session, code)

    def on_session(self, session: Session, platform: int, session_id: int) -> None:
        """A live session, told again because words of its gateway were lost."""
        self.devices.on_session(session, platform, session_id)

    def sessions_at(self, node: int) -> list[Session]:
        """Sessions that logged in here through one gateway node."""
        return self.sessions.at(node)

    # -- the application's server, and the other im processes

    async def invoke(self, name: str, args: Arguments, user: str = "") -> Any:
        """Run a method as the application's server, acting for `user`. Raises ImError."""
        return await self.calls.invoke(name, args, Caller(user, "", None, True))

    async def on_peer_change(self, kind: str, key: str) -> None:
        """Another im process changed something (ports.PeersPort): what is remembered of it is read again."""
        if kind == "room":
            await self.room_table.refresh(key)
        elif kind == "presence":
            self.presence.changed(key)
        elif kind == "session":
            self.devices.on_peer_logout(key)
        elif kind == "broadcast":
            await self.server_sends.from_peer(int(key))
        else:
            await self.directory.refresh(kind, key)

    def stats(self) -> dict[str, int]:
        """Counters: sessions, and everything that was dropped and why."""
        rooms = self.room_table.remembered()
        return {
            "sessions": self.sessions.count,
            "room_dropped_normal": sum(room.dropped_normal for room in rooms),
            "room_dropped_high": sum(room.dropped_high for room in rooms),
            "push_dropped": 0 if self._asides is None else self._asides.dropped,
            "receipt_pushes_dropped": self.receipts.dropped,
        }

    # -- life

    async def start(self) -> None:
        """Begin background work (receipt pushes, expiry). The store is started by its owner."""
        settings = self.settings
        self._background = [
            asyncio.create_task(self._every(settings.receipt_flush_ms, self.receipts.flush)),
            asyncio.create_task(self._every(settings.expire_every_ms, self.expire)),
        ]

    async def _every(self, period_ms: int, work: Any) -> None:
        while True:
            await asyncio.sleep(period_ms / 1000)
            try:
                await work()
            except StoreError:
                _log.warning("background work failed", exc_info=True)

    async def expire(self) -> int:
        """Remove what no view can show any more, in small steps so that sends go between. -> rows removed."""
        keep = self.settings.retention
        limits = Limits(keep.offline_ms, keep.roam_ms, keep.history_ms)
        removed = 0
        while count := await self._store.expire(self._clock.now_ms(), limits, self.settings.expire_rows):
            removed += count
        return removed

    async def settle(self) -> None:
        """Wait until logins, logouts, calls, waiting sends and pushes under way are done."""
        await self.devices.close()
        await self.calls.close()
        await self.messages.close()
        if self._asides is not None:
            await self._asides.close()

    async def stop(self) -> None:
        """Finish what is under way, so that the store may be stopped."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._background = []
        await self.settle()
