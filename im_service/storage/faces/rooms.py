"""Rooms and Housekeeping."""

from collections.abc import Mapping, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import rooms, upkeep
from im_service.storage.records import (
    Broadcast,
    Limits,
    Page,
    QueueItem,
    Replay,
    Role,
    Room,
    RoomMember,
    TagMute,
)


class RoomsFace(Engine):
    async def create_room(self, room: str, owner: str, info: bytes, now_ms: int) -> Room:
        return await self._write(partial(rooms.create, room, owner, info, now_ms))

    async def rooms(self, rooms_: Sequence[str], /) -> list[Room]:
        return await self._read(rooms.load(rooms_))

    async def update_room(
        self, room: str, now_ms: int, *, info: bytes | None = None, mute_all: bool | None = None,
        closed: bool | None = None, rev: int | None = None,
    ) -> Room:  # fmt: skip
        return await self._write(partial(rooms.update, room, info, mute_all, closed, rev))

    async def set_room_member(
        self, room: str, user: str, now_ms: int, *, role: Role | None = None, named: bool | None = None,
        black: bool | None = None, muted_until_ms: int | None = None, info: bytes | None = None,
    ) -> RoomMember:  # fmt: skip
        named_values: dict[str, object | None] = {
            "role": None if role is None else int(role),
            "named": None if named is None else int(named),
            "black": None if black is None else int(black),
            "muted_ms": muted_until_ms,
            "info": info,
        }
        values = {column: value for column, value in named_values.items() if value is not None}
        return await self._write(partial(rooms.set_member, room, user, values))

    async def room_members(self, room: str, after: str = "", limit: int = 500) -> Page[RoomMember]:
        return await self._read(rooms.members(room, after, limit))

    async def room_member_states(self, room: str, users: Sequence[str]) -> dict[str, RoomMember]:
        return await self._read(rooms.member_states(room, users))

    async def mute_tag(self, room: str, tag: str, until_ms: int) -> list[TagMute]:
        return await self._write(partial(rooms.mute_tag, room, tag, until_ms))

    async def tag_mutes(self, room: str) -> list[TagMute]:
        return await self._read(rooms.tag_mutes(room))

    async def queue_put(
        self, room: str, items: Sequence[QueueItem], limit: int, front: bool = False
    ) -> list[QueueItem]:
        return await self._write(partial(rooms.queue_put, room, items, limit, front), len(items))

    async def queue_poll(self, room: str, key: str | None) -> QueueItem | None:
        return await self._write(partial(rooms.queue_poll, room, key))

    async def queue(self, room: str) -> list[QueueItem]:
        return await self._read(rooms.queue(room))

    async def queue_clear(self, room: str, transient_of: str | None = None) -> list[QueueItem]:
        return await self._write(partial(rooms.queue_clear, room, transient_of))

    async def add_broadcast(self, payload: bytes, platforms: int, now_ms: int, expires_ms: int) -> Broadcast:
        return await self._write(partial(rooms.add_broadcast, payload, platforms, now_ms, expires_ms))

    async def broadcasts(self, after: int, now_ms: int, limit: int = 100) -> list[Broadcast]:
        return await self._read(rooms.broadcasts(after, now_ms, limit))

    async def begin_request(self, key: str, digest: bytes, now_ms: int, lease_ms: int) -> Replay | None:
        return await self._write(partial(rooms.begin_request, key, digest, now_ms, lease_ms))

    async def finish_request(self, key: str, status: int, body: bytes, expires_ms: int) -> None:
        await self._write(partial(rooms.finish_request, key, status, body, expires_ms))

    async def drop_request(self, key: str) -> None:
        await self._write(partial(rooms.drop_request, key))

    async def expire(self, now_ms: int, limits: Limits, max_rows: int = 500) -> int:
        return await self._write(partial(upkeep.expire, now_ms, limits, max_rows))

    async def count(self) -> Mapping[str, int]:
        return await self._read(upkeep.count())
