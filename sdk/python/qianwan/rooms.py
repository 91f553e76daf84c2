"""Chatrooms: joined again after every reconnect, messages in a bounded queue of their own, nothing stored."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from qianwan.api.room import RoomCalls
from qianwan.constants import ROOM_PREFIX
from qianwan.delivery.feed import Call
from qianwan.delivery.inbox import RecentIds
from qianwan.delivery.insist import insist
from qianwan.errors import NotInRoom, ProtocolError, RequestError, RoomNotFound
from qianwan.models import Ack, Content, Message, Notice, Options, message_from
from qianwan.protocol.messages import decode
from qianwan.tasks import Tasks

MAX_QUEUE = 5000


class Speaker(Protocol):
    """The client, as far as a room needs it."""

    async def send_to(
        self,
        target: str,
        content: str | Content,
        *,
        options: Options | None = None,
        ext: str | None = None,
        client_id: str | None = None,
    ) -> Ack: ...
    async def call(
        self, method: str, args: dict[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any: ...
    async def leave_room(self, name: str) -> None: ...


class Room(RoomCalls):
    """One joined chatroom. `async for message in room` ends when the room is left; it raises NotInRoom when
    somebody put this user out, RoomNotFound when the room was closed.

    A reader that falls behind by more than 5,000 messages loses the oldest; `dropped` counts them.
    """

    def __init__(
        self, client: Speaker, name: str, tags: Sequence[str] = (), max_queue: int = MAX_QUEUE
    ) -> None:
        self._client = client
        self._queue: deque[Message] = deque()
        self._max_queue = max_queue
        self._arrival = asyncio.Event()
        self._recent = RecentIds(1024)
        self._end: BaseException | None = None
        self._left = False
        self.name = name
        self.tags = tuple(tags)
        self.online = 0
        self.dropped = 0
        self.recent: list[Message] = []
        """the newest messages at the time of joining, if the room keeps some"""

    async def send(
        self,
        content: str | Content,
        *,
        options: Options | None = None,
        ext: str | None = None,
        client_id: str | None = None,
    ) -> Ack:
        """Say something in the room; `seq` of the answer is 0. Raises RequestError.

        A service that forgot who is in the room (it may after a restart) is told again, and the message
        repeated once; who was put out stays out.
        """
        return await self._client.send_to(
            ROOM_PREFIX + self.name, content, options=options, ext=ext, client_id=client_id
        )

    async def leave(self) -> None:
        await self._client.leave_room(self.name)

    async def call(self, method: str, **args: Any) -> Any:
        """A method of the room, for example `call("members", limit=50)` for `room.members`."""
        return await self._client.call(f"room.{method}", {"room": self.name, **args})

    def __aiter__(self) -> Room:
        return self

    async def __anext__(self) -> Message:
        while not self._queue:
            if self._end is not None:
                raise self._end
            if self._left:
                raise StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        return self._queue.popleft()

    async def __aenter__(self) -> Room:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.leave()

    # for the client

    def joined(self, result: Any) -> None:
        """What room.join answered. Raises ProtocolError."""
        try:
            if isinstance(result, Mapping):
                self.online = int(result.get("online", 0))
                self.recent = [message_from(entry) for entry in result.get("recent") or ()]
        except (TypeError, ValueError, msgspec.ValidationError) as error:
            raise ProtocolError("the result of room.join cannot be read") from error

    def arrived(self, message: Message) -> None:
        if not self._recent.add(message.server_id):
            return
        if len(self._queue) >= self._max_queue:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(message)
        self._arrival.set()

    def ended(self, reason: BaseException | None) -> None:
        if not self._left:
            self._left, self._end = True, reason
            self._arrival.set()


class RoomTable:
    """The rooms that the application joined, kept joined: each is entered again, with its tags, after every
    login and whenever the service says that it lost track. Refusals that will change are insisted on.
    """

    def __init__(self, call: Call, call_now: Call, tasks: Tasks, *, believe_s: float) -> None:
        """`call` waits for a connection, `call_now` raises ConnectionClosed without one."""
        self._call = call
        self._call_now = call_now
        self._tasks = tasks
        self._believe_s = believe_s
        self._rooms: dict[str, Room] = {}
        self._entering: dict[str, asyncio.Task[None]] = {}

    async def join(self, client: Speaker, name: str, tags: Sequence[str]) -> Room:
        """Enter a room, or change the tags in one that was entered. Raises what the call raises."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(client, name, tags)
            try:
                await self._enter(room, self._call)
            except BaseException as error:
                self._drop(room, error if isinstance(error, RequestError) else None)
                raise
        elif tuple(tags) != room.tags:
            before, room.tags = room.tags, tuple(tags)
            try:
                await self._enter(room, self._call)
            except RequestError:
                room.tags = before
                raise
        return room

    async def _enter(self, room: Room, call: Call) -> None:
        args = {"room": room.name, **({"tags": list(room.tags)} if room.tags else {})}
        room.joined(decode(await call("room.join", args)))
        if room.name not in self._rooms:  # left, or put out, meanwhile
            await call("room.leave", {"room": room.name})

    async def reenter(self, name: str) -> bool:
        """Enter a joined room again, because the service forgot who is in it. False when it is joined no
        more; raises a lasting refusal, or ConnectionClosed."""
        room = self._rooms.get(name)
        if room is not None:
            await self._again(room)
        return name in self._rooms

    def leave(self, name: str) -> bool:
        """Forget a room; False when it is not joined."""
        room = self._rooms.get(name)
        if room is not None:
            self._drop(room, None)
        return room is not None

    def enter_all(self) -> None:
        for name, room in self._rooms.items():
            if name in self._entering:
                self._entering[name].cancel()
            self._entering[name] = self._tasks.spawn(self._again(room))

    async def _again(self, room: Room) -> None:
        async def ask() -> None:
            if self._rooms.get(room.name) is room:
                await self._enter(room, self._call_now)

        try:
            await insist(ask, f"entering {room.name}", believe_s=self._believe_s)
        except RequestError as refused:
            self._drop(room, refused)
            raise

    def arrived(self, message: Message) -> None:
        room = self._rooms.get(message.conversation[2:])
        if room is not None:
            room.arrived(message)

    def noticed(self, notice: Notice) -> None:
        """Being put out, or the end of a room: it is not entered again."""
        room = self._rooms.get(str(notice.data.get("room", "")))
        if room is None:
            return
        if notice.name == "room.kicked":
            by, reason = notice.data.get("by", ""), notice.data.get("reason", "")
            told = f"put out of the room by {by or 'the server'}: {reason}"
            self._drop(room, NotInRoom(NotInRoom.CODE, told))
        elif notice.name == "room.close":
            self._drop(room, RoomNotFound(RoomNotFound.CODE, "the room was closed"))

    def end(self, reason: BaseException | None) -> None:
        for room in self._rooms.values():
            room.ended(reason)

    def _drop(self, room: Room, reason: BaseException | None) -> None:
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]
            self._entering.pop(room.name, None)
        room.ended(reason)
