"""The IM service of one app, put together: the gateway's events come in here, every service is built here."""

from __future__ import annotations

from collections.abc import Sequence

from frame.constants import ROOM_PREFIX
from im_service.accounts.devices import Devices
from im_service.accounts.ended import ENDED
from im_service.accounts.erasing import Erasing
from im_service.accounts.exporting import Exporting
from im_service.accounts.gate import Gate
from im_service.accounts.hearings import Hearings
from im_service.accounts.presence import PresenceBook
from im_service.accounts.present import Present
from im_service.accounts.profiles import Profiles
from im_service.accounts.registry import Registry
from im_service.accounts.relations import Relations
from im_service.calls import Arguments, Caller, Calls
from im_service.chatrooms.admin import RoomAdmin
from im_service.chatrooms.door import RoomDoor
from im_service.chatrooms.moves import CAME, GUEST, OUT, RoomMoves
from im_service.chatrooms.queue import RoomQueue
from im_service.chatrooms.recall import RoomRecall
from im_service.consent import Consents
from im_service.context import Ports, ServiceContext
from im_service.conversation.access import Access
from im_service.conversation.list import Conversations
from im_service.conversation.receipts import Receipts
from im_service.conversation.revisions import Revisions
from im_service.conversation.sync import Sync
from im_service.engines.media import MediaEngine
from im_service.event_calls import EventCalls
from im_service.groups.admin import GroupAdmin
from im_service.groups.context import GroupContext
from im_service.groups.members import GroupMembers
from im_service.outbox.log import StoreEventLog
from im_service.outbox.succession import Succession, forget_others
from im_service.ports import SendItem, Session, Way
from im_service.push.decide import PushDecider
from im_service.push.ports import NoPush
from im_service.push.tokens import PushTokens
from im_service.reviews.decisions import Decisions
from im_service.reviews.queue import ReviewQueue
from im_service.reviews.removal import Removal
from im_service.sending.judging import Judge
from im_service.sending.messages import Sending
from im_service.sending.read_back import ReadBack
from im_service.sending.releases import Releases
from im_service.sending.server_sends import ServerSends
from im_service.sending.words import Words
from im_service.settings import ImSettings
from im_service.storage.store import Store
from im_service.upkeep import Upkeep


class ImService:
    """One app at one im process. Everything runs on one asyncio thread; the store has its own."""

    def __init__(self, store: Store, ports: Ports, settings: ImSettings | None = None) -> None:
        context = ServiceContext(store, ports, settings or ImSettings())
        self.sessions = context.sessions
        self.directory = context.directory
        self.room_table = context.rooms
        self._store, self._ids, self._spread = store, context.ids, context.spread
        self._node = context.node
        self._memberships = context.memberships
        judge = Judge(context, ports.hooks)
        push = ports.push or NoPush()
        back = ReadBack(context, judge)
        self._pushes = PushDecider(context, push, judge, back)
        self.push_tokens = PushTokens(context, push, self._pushes)
        self._media = media = None if ports.media_engine is None else MediaEngine(ports.media_engine)
        pushed = None if ports.push is None else self._pushes
        after = [each for each in (pushed, media) if each is not None]
        self.messages = Sending(context, judge, after)
        committed, heir = self.messages.committed, ports.heir
        self._successions = [
            Succession(store, context.clock, context.node, each, committed, heir) for each in after
        ]
        self.events = StoreEventLog(store, context.clock, context.settings.copy.groups)
        self.server_sends = ServerSends(context, self.messages)

        access = Access(context)
        self.sync = Sync(context, access)
        self.conversations = Conversations(context, access)
        self.revisions = Revisions(context, access, self.messages, self._pushes.recalled)
        self.receipts = Receipts(context, access)

        self.consents = Consents(context)
        groups = GroupContext(context)
        self.group_admin = GroupAdmin(groups, self.consents)
        self.group_members = GroupMembers(groups, self.consents)

        self.room_door = RoomDoor(context)
        self.room_admin = RoomAdmin(context, self.room_door)
        self.room_queue = RoomQueue(context)
        self.room_recall = RoomRecall(context)
        self._room_moves = RoomMoves(context, self.room_door)

        self.decisions = Decisions(
            context, access, Releases(context, back, after), self.revisions, self.room_recall
        )
        if media is not None:
            media.later = self.decisions.later
        self.reviews = ReviewQueue(context, access, self.decisions)
        self.removal = Removal(context, self.revisions, self.room_recall)
        self.presence = PresenceBook(context)
        self.relations = Relations(context, self.consents, self.presence)
        self.profiles = Profiles(context)
        self.registry = Registry(context, self.profiles)
        self.erasing = Erasing(context, self.registry, self.group_admin, self.group_members, self.room_recall)
        self.devices = Devices(context, self.room_door, self.presence)
        self._hearings = Hearings(context, self.profiles.end_sessions)

        services = (
            self.sync,
            self.conversations,
            self.revisions,
            self.receipts,
            self.consents,
            self.group_admin,
            self.group_members,
            self.room_door,
            self.room_admin,
            self.room_queue,
            self.room_recall,
            self.relations,
            self.profiles,
            self.registry,
            self.erasing,
            Exporting(context),
            self.presence,
            self.devices,
            self.push_tokens,
            self.server_sends,
            EventCalls(context, self.events),
            self.reviews,
            self.removal,
        )
        self._words = Words(context, ports.moderation)
        self.calls = Calls(
            services,
            context.sessions,
            context.clock,
            context.downlink,
            context.settings.call_rate,
            Gate(context, self._words.admit, ports.call_callback).admit,
            Present(context.directory).check,
        )
        self.upkeep = Upkeep(context, self.receipts, self.decisions, self.events, self._successions)

    def set_rates(self, settings: ImSettings) -> None:
        """The rates of these settings, from now on; nothing else of them."""
        self.messages.admission.set_rates(settings)
        self._words.admission.set_rates(settings)
        self._spread.set_rate(settings.spread_rate)
        self.calls.set_rate(settings.call_rate)
        self.reviews.set_rate(settings.report_rate)

    # -- the gateway's events

    def on_sends(self, batch: Sequence[SendItem]) -> None:
        """Sends of one gateway batch: (session, request, target, payload). Answered through the downlink."""
        self.messages.on_sends(batch)

    def busy(self) -> bool:
        """Sends wait for their commit in numbers: take no more events for now."""
        return self.messages.busy()

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None:
        """One CALL. Answered through the downlink."""
        self.calls.on_call(session, request, method, payload)

    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None:
        """A session is live (its connection is in u/<user> already). Call it before any send or call of
        it. `moved`: it goes on where another one of its device was, and asks for no sync."""
        self.devices.on_login(session, platform, session_id, moved)

    def on_logout(self, session: Session, code: int) -> None:
        """A session is over."""
        self.devices.on_logout(session, code)
        self.push_tokens.logged_out(session, code)

    def on_away(self, session: Session) -> None:
        """A session lost its connection, is out of its rooms, and waits for its client."""
        self.devices.on_away(session)

    def on_back(self, session: Session) -> None:
        """A session has a connection again."""
        self.devices.on_back(session)

    def on_session(self, session: Session, platform: int, session_id: int) -> None:
        """A live session, told again because words of its gateway, or to it, were lost."""
        logs_in = self.devices.on_session(session, platform, session_id)
        self._hearings.anew([session.user], joined=logs_in)

    def on_repeated(self, session: Session) -> None:
        """A live session, of whatever im process, is told again because words of its gateway, or to it, were
        lost; before `on_session`."""
        self.room_door.told_again(session)

    def on_dropped(self, topic: str, normal: int, high: int, notices: int) -> None:
        """A gateway held back so many messages and notices of a room: over its budget, or it could not keep
        up."""
        self.room_table.dropped(topic, normal, high, notices)

    def sessions_at(self, node: int) -> list[Session]:
        """Sessions that logged in here through one gateway node."""
        return self.sessions.at(node)

    def registered_at(self, node: int) -> int:
        """How many sessions of a node logged in here."""
        return self.sessions.count_at(node)

    def strays_at(self, node: int) -> list[Session]:
        """Sessions through one gateway node that logged in elsewhere and said something here."""
        return self.sessions.strays_at(node)

    def on_stray_gone(self, session: Session) -> None:
        """A session that logged in elsewhere is over, and nobody told."""
        self.devices.on_stray_gone(session)

    def on_inside(self, session: Session, room: str) -> None:
        """This session is in a room that is served here: its topic, and `#tag` behind it for each tag."""
        self._room_moves.inside(session, room)

    def on_left(self, node: int, conn: int, topic: str) -> None:
        """Another im process took this connection out of a room that is served here."""
        self._room_moves.left(node, conn, topic)

    def on_afresh(self, node: int) -> None:
        """This gateway node took this process for dead: what is known of its guests of rooms, and what it
        asked of rooms until now, is old. Who is inside is told next."""
        self.room_door.too_late(node, self.calls.under_way(node))
        self._room_moves.afresh(node)

    # -- the application's server, and the other im processes

    async def invoke(self, name: str, args: Arguments, user: str = "") -> object:
        """Run a method as the application's server, acting for `user`. Raises ImError."""
        return await self.calls.invoke(name, args, Caller(user, "", None, True))

    async def on_peer_change(self, kind: str, key: str) -> None:
        """Another im process changed something (ports.PeersPort; all: nobody knows what): what is remembered
        of it is read again."""
        if kind == "all":
            self._hearings.anew(self.sessions.names())
            self.sessions.forget_away()
            self._pushes.addresses.forget_all()
            await self.presence.part_all()
            await self.directory.refresh_all()
            await self.room_table.refresh_all()
            for known in self.room_table.live():
                await self.room_door.obey(known)
        elif kind == "room":
            await self.room_table.refresh(key)
            if (here := self.room_table.peek(key)) is not None:
                await self.room_door.obey(here)
        elif kind == GUEST:
            await self._room_moves.take_over(key)
        elif kind == ENDED:
            self.devices.from_peer(key)
        elif kind == CAME:
            self._room_moves.came(key)
        elif kind == OUT:
            await self._room_moves.out(key)
        elif kind == "left":
            node, conn, room = key.split(" ")
            self._room_moves.left(int(node), int(conn), ROOM_PREFIX + room)
        elif kind == "presence":
            user, *words = key.split(" ")
            self.presence.heard(user, words)
        elif kind == "session":
            node, conn, user, device = key.split(" ")
            self.devices.on_stray_gone(Session(int(node), int(conn), user, device))
        elif kind == "away":
            node, conn, user, device, *alone = key.split(" ")
            self.devices.on_stray_away(Session(int(node), int(conn), user, device))
            if alone:
                self.sessions.heard_away(user, True)
        elif kind == "back":
            self.sessions.heard_away(key, False)
        elif kind == "account":
            await self.profiles.from_peer(key)
        elif kind == "push":
            self._pushes.addresses.forget(key)
        elif kind == "recall":
            room, server_id = key.split(" ")
            self.room_recall.forget(room, int(server_id))
        elif kind == "broadcast":
            await self.server_sends.from_peer(int(key))
        else:
            await self.directory.refresh(kind, key)
            if kind == "pair":
                await self.presence.part(*key.split(" "))
            if kind == "member":
                group, user = key.split(" ")
                self._memberships.changed_elsewhere(group, user)

    async def on_peers_changed(self, way: Way) -> None:
        """Other im processes serve other topics now: what this one knows of their rooms goes there."""
        await self._room_moves.hand_over(way)
        await self.devices.hand_over(way)

    def stats(self) -> dict[str, int]:
        """Counters: sessions, and everything that was dropped and why."""
        rooms = self.room_table
        return {
            "sessions": self.sessions.count,
            "room_dropped_normal_total": rooms.dropped_normal,
            "room_dropped_high_total": rooms.dropped_high,
            "room_dropped_notices_total": rooms.dropped_notices,
            "push_dropped_total": self._pushes.dropped,
            "clock_ahead_seconds": self.upkeep.age_clock.ahead_ms // 1000,
            "receipt_pushes_dropped_total": self.receipts.dropped,
            **self.upkeep.copies.stats(),
            **self.erasing.stats(),
            **({} if self._media is None else self._media.stats()),
            **{f"{each.name}_taken_up_total": each.taken_up for each in self._successions},
        }

    # -- life

    async def start(self) -> None:
        """Begin background work. The store is started by its owner."""
        self._ids.go_on_from(await self._store.newest_server_id())
        await forget_others(self._store, self._node, self._successions)
        for succession in self._successions:
            await succession.start()
        self.upkeep.start()
        self.erasing.start()

    async def settle(self) -> None:
        """Wait until logins, logouts, calls, waiting sends and pushes under way are done."""
        await self.devices.close()
        await self._hearings.close()
        await self._memberships.close()
        await self.calls.close()
        await self.messages.close()
        await self.presence.close()
        await self._spread.close()
        await self._pushes.close()
        await self.push_tokens.close()

    async def stop(self) -> None:
        """Finish what is under way, so that the store may be stopped."""
        self.devices.stop()
        self.push_tokens.stop()
        self._hearings.stop()
        self._memberships.stop()
        await self.upkeep.stop()
        await self.erasing.stop()
        if self._media is not None:
            await self._media.close()
        await self.settle()
        await self._pushes.drained()
        for succession in self._successions:
            await succession.close()
        await self._room_moves.close()
        await self.room_door.close()
