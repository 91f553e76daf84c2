"""A room's ordered key-value queue (for example who speaks next). Transient elements go when their owner
leaves. If the process died before it could take them away, they are there no more for those in the room
until their owner is back; the server, whose calls may come to any process, sees them.
"""

from __future__ import annotations

from im_service.calls import Caller, Nothing, method
from im_service.chatrooms.model import (
    PollArgs,
    PutArgs,
    QueueArgs,
    QueueDropped,
    QueueList,
    QueueTaken,
    RoomArgs,
    describe_item,
)
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.live.room import RoomState
from im_service.notices import SYSTEM
from im_service.pages import fit, parts
from im_service.ports import DECISION, NOTICE
from im_service.storage.errors import StoreConflict, StoreFull
from im_service.storage.records import QueueItem


class RoomQueue:
    """Add, take, list, drop; every change is told to the room."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._table = context.rooms
        self._announcer = context.announcer
        self._limit = context.settings.room_queue
        self._reply_bytes = context.settings.reply_bytes

    async def _room(self, caller: Caller, name: str, write: bool) -> RoomState:
        room = await self._table.get(name)
        if not room.open:
            raise ImError(Code.ROOM_NOT_FOUND)
        if caller.server or room.manages(caller.user):
            return room
        if caller.user not in room.members:
            raise ImError(Code.NOT_IN_ROOM)
        if write and room.info.queue_by_managers:
            raise ImError(Code.FORBIDDEN, "owner and managers change this queue")
        return room

    def _there(self, caller: Caller, room: RoomState, item: QueueItem) -> bool:
        here = item.owner in room.members or item.owner in room.lingering or item.owner == SYSTEM
        return caller.server or not item.transient or here

    def _tell(self, caller: Caller, room: RoomState, op: str, items: list[QueueItem]) -> None:
        priority = DECISION if caller.server or room.manages(caller.user) else NOTICE
        for keys in parts([item.key for item in items], self._reply_bytes):
            data: dict[str, object] = {"room": room.room, "op": op, "keys": keys}
            if op == "put":
                data["items"] = [describe_item(item) for item in items]
            self._announcer.event(room.topic, "room.queue", data, priority=priority)

    @method(
        "room.queue.put", Code.ROOM_NOT_FOUND, Code.NOT_IN_ROOM, Code.FORBIDDEN, Code.CONFLICT, alone=True
    )
    async def put(self, caller: Caller, args: PutArgs) -> Nothing:
        """Add an element at the end (or front), or change it in place. Other people's elements are the
        managers'."""
        room = await self._room(caller, args.room, True)
        over = None
        if not caller.server and not room.manages(caller.user):
            held = await self._store.queue(args.room)
            over = [item for item in held if not self._there(caller, room, item)]
        item = QueueItem(args.key, args.value, caller.user or SYSTEM, args.transient, 0)
        try:
            await self._store.queue_put(args.room, [item], self._limit, args.front, over=over)
        except StoreConflict:
            raise ImError(Code.FORBIDDEN, "this element is somebody else's") from None
        except StoreFull:
            raise ImError(Code.CONFLICT, f"a queue has at most {self._limit} elements") from None
        self._tell(caller, room, "put", [item])
        return {}

    @method(
        "room.queue.poll",
        Code.ROOM_NOT_FOUND,
        Code.NOT_IN_ROOM,
        Code.FORBIDDEN,
        result=QueueTaken,
        alone=True,
    )
    async def poll(self, caller: Caller, args: PollArgs) -> QueueTaken:
        """Take the first element, or this one. Those who are no managers take their own only."""
        room = await self._room(caller, args.room, True)
        if not caller.server and not room.manages(caller.user):
            return await self._poll_mine(caller, room, args.key)
        item = await self._store.queue_poll(args.room, args.key)
        while item is not None and not self._there(caller, room, item):
            item = await self._store.queue_poll(args.room, args.key)
        if item is not None:
            self._tell(caller, room, "poll", [item])
        return QueueTaken(None if item is None else describe_item(item))

    async def _poll_mine(self, caller: Caller, room: RoomState, key: str | None) -> QueueTaken:
        try:
            item = None if key is None else await self._store.queue_poll(room.room, key, caller.user)
        except StoreConflict:
            item = None
        if item is None:
            raise ImError(Code.FORBIDDEN, "this element is not yours")
        self._tell(caller, room, "poll", [item])
        return QueueTaken(describe_item(item))

    @method(
        "room.queue.list",
        Code.ROOM_NOT_FOUND,
        Code.NOT_IN_ROOM,
        result=QueueList,
        alone=True,
    )
    async def items(self, caller: Caller, args: QueueArgs) -> QueueList:
        """The elements in order."""
        room = await self._room(caller, args.room, False)
        held = [item for item in await self._store.queue(args.room) if self._there(caller, room, item)]
        rest = [item for item in held if args.after is None or item.position > args.after]
        items, more = fit(map(describe_item, rest), self._reply_bytes)
        return QueueList(items, rest[len(items) - 1].position if items else args.after, more)

    @method("room.queue.drop", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, result=QueueDropped, alone=True)
    async def drop(self, caller: Caller, args: RoomArgs) -> QueueDropped:
        """Empty the queue. Owner and managers do."""
        room = await self._room(caller, args.room, True)
        if not caller.server and not room.manages(caller.user):
            raise ImError(Code.FORBIDDEN, "owner and managers empty a queue")
        gone = await self._store.queue_clear(args.room)
        self._tell(caller, room, "drop", gone)
        return QueueDropped(len(gone))
