"""Chatrooms: joined again after every reconnect, messages in a bounded queue of their own, nothing stored."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from qianwan.api.room import RoomCalls
from qianwan.delivery.inbox import RecentIds
from qianwan.delivery.outbox import new_client_id
from qianwan.errors import NotInRoom
from qianwan.models import Ack, Content, Message, Options, message_from

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
    async def rejoin_room(self, name: str) -> None: ...


class Room(RoomCalls):
    """One joined chatroom. `async for message in room` ends when the room is left.

    A reader that falls behind by more than 5,000 messages loses the oldest; `dropped` counts them.
    """

    def __init__(self, client: Speaker, name: str, max_queue: int = MAX_QUEUE) -> None:
        self._client = client
        self._queue: deque[Message] = deque()
        self._max_queue = max_queue
        self._arrival = asyncio.Event()
        self._recent = RecentIds(1024)
        self._end: BaseException | None = None
        self._left = False
        self.name = name
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
        repeated once.
        """
        name = client_id or new_client_id()
        target = f"r/{self.name}"
        try:
            return await self._client.send_to(target, content, options=options, ext=ext, client_id=name)
        except NotInRoom:
            if self._left:
                raise
            await self._client.rejoin_room(self.name)
            return await self._client.send_to(target, content, options=options, ext=ext, client_id=name)

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
        """What room.join answered."""
        if isinstance(result, Mapping):
            self.online = int(result.get("online", 0))
            self.recent = [message_from(entry) for entry in result.get("recent") or ()]

    def arrived(self, message: Message) -> None:
        if not self._recent.add(message.server_id):
            return
        if len(self._queue) >= self._max_queue:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(message)
        self._arrival.set()

    def ended(self, reason: BaseException | None) -> None:
        self._left, self._end = True, reason
        self._arrival.set()
