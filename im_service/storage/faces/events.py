"""The durable copy: messages and events in one order, and cursors that are kept."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.event_records import Events, EventState, GroupRow, NewEvent, Place, Volume
from im_service.storage.ops import events
from im_service.storage.ops.tx import emit
from im_service.storage.queue import ToldItem


class EventStore(Engine):
    """A place is settled when nothing can be committed before it any more; nobody reads beyond that."""

    def record(self, new: Sequence[NewEvent], done: Callable[[BaseException | None], None]) -> None:
        """Commit these events of which nothing else is stored; `done` is told on the event loop, in the
        order of the messages beside them."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._put(ToldItem(partial(emit, tuple(new)), future, len(new), done=done))
        except Exception as error:
            asyncio.get_running_loop().call_soon(done, error)

    async def tell(self, *new: NewEvent) -> None:
        """Commit events of which nothing else is stored."""
        await self._write(lambda: emit(new), len(new))

    async def event_state(self) -> EventState:
        """What cursors are judged by."""
        return await self._read(events.state())

    async def settled(self) -> Place:
        """How far one may read now. Rises with the commits of every process."""
        return await self._settled()

    async def news(self, after: Place) -> bool:
        """Is something settled behind this place? It may be a number that nobody used."""
        settled = await self._settled()
        if settled.message > after.message:
            return True
        return settled.event > after.event and not self._one_sequence

    async def events(self, after: Place, limit: int) -> Events:
        """What is settled behind this place, at most `limit` entries and about 1 MiB."""
        return await self._read(events.stretch(after, await self._settled(), limit))

    async def events_behind(self, after: Place) -> tuple[int, int]:
        """How many entries lie behind (exact up to 10,000), and the time of the oldest, 0 if there is
        none."""
        return await self._read(events.behind(after, await self._settled()))

    async def event_place(self, time_ms: int) -> Place:
        """A place before everything of this time or later, not far before."""
        return await self._read(events.at_time(time_ms, await self._settled()))

    def next_commit(self) -> "asyncio.Future[None]":
        """Done after the next commit of this process."""
        return self._open().next_commit()

    async def event_groups(self, name: str | None = None) -> list[GroupRow]:
        """All of them in order of name, without their notes, or the one of this name."""
        return await self._read(events.groups(name))

    async def commit_group(
        self,
        name: str,
        cursor: str,
        revision: int | None,
        now_ms: int,
        most: int,
        note: bytes | None = None,
    ) -> GroupRow:
        """`note` None: as it was. StoreConflict: the revision is another one. StoreFull: there are `most`
        already."""
        return await self._write(partial(events.commit, name, cursor, revision, now_ms, most, note))

    async def drop_group(self, name: str) -> bool:
        """False: there was none."""
        return await self._write(partial(events.drop, name))

    async def event_volume(self, keep_bytes: int) -> Volume:
        """What the newest rows of events take, up to so many bytes (0: all)."""
        return await self._read(events.volume(keep_bytes))

    async def expire_events(self, before_ms: int, cut: int, max_rows: int = 500) -> int:
        """Remove up to max_rows rows of events: those of an earlier time, and those up to the number `cut`.
        -> how many; call again until 0."""
        return await self._write(partial(events.expire, before_ms, cut, max_rows))
