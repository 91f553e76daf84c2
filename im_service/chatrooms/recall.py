"""Taking back what was said in a chatroom: those who are there are told, newcomers and history have it no
more.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from frame.constants import ROOM_PREFIX
from im_service.calls import Caller, Nothing, method
from im_service.chatrooms.model import RecallArgs
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import age_ms
from im_service.live.room import RoomState
from im_service.models import decode_message, encode, pack_payload
from im_service.notices import SYSTEM
from im_service.outbox.kinds.rooms import RoomRecalled
from im_service.ports import DECISION
from im_service.routing import EVERYWHERE, Routing, of_message, of_options
from im_service.storage.records import Applied, Revised, StoredMessage


class RoomRecall:
    """Recall in rooms. A room without history keeps nothing, so the notice names the message by server id."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._clock = context.clock
        self._teller = context.teller
        self._table = context.rooms
        self._announcer = context.announcer
        self._peers = context.peers
        self._window = context.settings.recall_window_ms

    @method(
        "room.recall",
        Code.ROOM_NOT_FOUND,
        Code.NOT_FOUND,
        Code.NOT_IN_ROOM,
        Code.FORBIDDEN,
        Code.RECALL_WINDOW,
        alone=True,
    )
    async def recall(self, caller: Caller, args: RecallArgs) -> Nothing:
        """Take a message of a room back: everybody here hears `room.recall`. Owner, managers and the server
        may; its sender within the recall window, where the room has history. What a room with history does
        not have is 404."""
        room = await self._table.get(args.room)
        if not room.open:
            raise ImError(Code.ROOM_NOT_FOUND)
        found = await self._store.find_server_ids(room.topic, [args.server_id])
        if not caller.server and not room.manages(caller.user):
            self._may(caller, room, found)
        if room.info.history and not found and all(each[1] != args.server_id for each in room.ring):
            raise ImError(Code.NOT_FOUND, "no such message")
        operator = caller.user or SYSTEM
        told = RoomRecalled(room=args.room, by=operator, seq=0, server_id=str(args.server_id), text=args.text)
        for message in found:
            where = of_message(message.bits, message.payload)
            tombstone = pack_payload(encode({"operator": operator, "text": args.text}), where.options())
            kept = msgspec.structs.replace(told, seq=message.seq)
            with self._teller.outcome(room.topic, RoomRecalled, _if_done(kept), where):
                await self._store.recall(room.topic, message.seq, tombstone, self._clock.now_ms())
        where = EVERYWHERE if found else _remembered(room, args.server_id)
        if not found and where.route and self._teller.records("room"):
            await self._store.tell(self._teller.event(room.topic, told, where.env))
        self.tell(args.room, args.server_id, operator, args.text)
        return {}

    def tell(self, name: str, server_id: int, operator: str, text: str) -> None:
        """Who is there hears that a message is taken back; newcomers do not get it."""
        self.forget(name, server_id)
        self._peers.changed("recall", f"{name} {server_id}")
        data = {"room": name, "server_id": server_id, "operator": operator, "text": text}
        self._announcer.event(ROOM_PREFIX + name, "room.recall", data, priority=DECISION)

    def forget(self, name: str, server_id: int) -> None:
        """Out of what newcomers get, if the room is remembered here."""
        room = self._table.peek(name)
        if room is not None:
            room.forget(server_id)

    def _may(self, caller: Caller, room: RoomState, found: list[StoredMessage]) -> None:
        if caller.user not in room.members:
            raise ImError(Code.NOT_IN_ROOM)
        if not found or found[0].sender != caller.user:
            raise ImError(Code.FORBIDDEN, "owner and managers recall, and the sender where there is history")
        if age_ms(found[0].time_ms, found[0].server_id, self._clock.now_ms()) > self._window:
            raise ImError(Code.RECALL_WINDOW, None, {"window_ms": self._window})


def _remembered(room: RoomState, server_id: int) -> Routing:
    """Of a message that is not stored, as far as it is among those that newcomers get."""
    for _, number, message in room.ring:
        if number == server_id:
            return of_options(decode_message(message).options)
    return EVERYWHERE


def _if_done(told: RoomRecalled) -> Callable[[Applied[Revised]], RoomRecalled | None]:
    """It may have been taken back before."""
    return lambda done: told if done.value.changed else None
