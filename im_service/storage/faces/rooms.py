"""Chatrooms."""

from collections.abc import Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import rooms
from im_service.storage.records import (
    Page,
    QueueItem,
    Role,
    Room,
    RoomMember,
    TagMute,
)


class Rooms(Engine):
    """Chatrooms: rows for the room, its named or restricted people and its queue; none for plain guests."""

    async def create_room(self, room: str, owner: str, info: bytes, now_ms: int, limit: int = 0) -> Room:
        """StoreConflict when taken (a closed one counts). StoreFull when the owner has more than `limit` that
        are open or were made within a day (0: any number)."""
        return await self._write(partial(rooms.create, room, owner, info, now_ms, limit))

    async def rooms(self, rooms_: Sequence[str], /) -> list[Room]:
        """Those of them that were created, closed ones too."""
        return await self._read(rooms.load(rooms_))

    async def update_room(
        self,
        room: str,
        now_ms: int,
        *,
        info: bytes | None = None,
        mute_all: bool | None = None,
        closed: bool | None = None,
        rev: int | None = None,
    ) -> Room:
        """None leaves as it is. StoreMissing; StoreConflict when `rev` is given and not the room's own."""
        return await self._write(partial(rooms.update, room, info, mute_all, closed, rev))

    async def set_room_member(
        self,
        room: str,
        user: str,
        now_ms: int,
        *,
        role: Role | None = None,
        named: bool | None = None,
        black: bool | None = None,
        muted_until_ms: int | None = None,
        info: bytes | None = None,
    ) -> RoomMember:
        """A row that says nothing any more is removed. StoreMissing when there is no such room."""
        return await self._write(
            partial(rooms.set_member, room, user, role, named, black, muted_until_ms, info)
        )

    async def room_members(self, room: str, after: str = "", limit: int = 500) -> Page[RoomMember]:
        """In order of user id."""
        return await self._read(rooms.members(room, after, limit))

    async def mute_tag(
        self, room: str, tag: str, until_ms: int, now_ms: int = 0, most: int = 0
    ) -> list[TagMute]:
        """0 lifts; those that are over go. StoreFull above `most` (0: any number). -> all tag mutes of the
        room."""
        return await self._write(partial(rooms.mute_tag, room, tag, until_ms, now_ms, most))

    async def tag_mutes(self, room: str) -> list[TagMute]:
        """In order of tag."""
        return await self._read(rooms.tag_mutes(room))

    async def queue_put(
        self,
        room: str,
        items: Sequence[QueueItem],
        limit: int,
        front: bool = False,
        *,
        over: Sequence[QueueItem] | None = None,
    ) -> list[QueueItem]:
        """Add at the end (or front), or update in place where the key exists (position given is ignored).
        StoreFull above `limit` elements: none is put. With `over`, elements of other owners are updated if
        they are these, as they are here; StoreConflict otherwise: none is put."""
        return await self._write(partial(rooms.queue_put, room, items, limit, front, over), len(items))

    async def queue_poll(self, room: str, key: str | None, owner: str | None = None) -> QueueItem | None:
        """Remove and return this key, or the first element. StoreConflict if it is not this owner's."""
        return await self._write(partial(rooms.queue_poll, room, key, owner))

    async def queue(self, room: str) -> list[QueueItem]:
        """In order of position."""
        return await self._read(rooms.queue(room))

    async def queue_clear(self, room: str, transient_of: str | None = None) -> list[QueueItem]:
        """Drop all, or the transient elements of one owner. -> those dropped."""
        return await self._write(partial(rooms.queue_clear, room, transient_of))
