"""What follows commits beside their delivery (pushes, questions about media) outlives its process.

It is begun from memory, at once. Beside it, each process keeps a place of the log in the store: everything
before it that this process committed is done. What lies behind it is read from the log after a start; and for
a process that lives no more by the one that is its heir. So some is done twice, none is forgotten:

    -------------------|----------- x ------------|-----------------|----> log
     done               done, or not               the place kept    settled now
                        (in memory)                next, once x is done

A send pays nothing for it; a process writes its place once a second while something happens.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from im_service.ids import RESERVED, node_of, time_of
from im_service.outbox.cursors import Spot, judged, parse, present
from im_service.outbox.ports import CursorGone, CursorInvalid
from im_service.outbox.unfinished import Unfinished
from im_service.ports import Clock
from im_service.storage.errors import StoreConflict, StoreError
from im_service.storage.event_records import GroupRow, LogRow, Place
from im_service.storage.records import RELEASED
from im_service.storage.store import Store

BEAT_MS = 1_000
"""How much of what was done may be done again after a kill, at least."""
LOOK_MS = 5_000
"""A process that is dead at two looks is dead."""
IDLE_BEATS = 30
PLACES = 3_600
"""That wait until what lies before them is done; the oldest are left out."""
PAGE = 200
NO_BOUND = 1 << 62
_log = logging.getLogger("qianwan.im")


class Follower(Protocol):
    """What follows commits (sending.pending.AfterCommit), and can go on with what another process began."""

    name: str
    unfinished: Unfinished
    keep_ms: int
    """What was committed longer ago is not taken up."""
    wait_ms: int
    """After a start, until it is known who is there."""

    async def take_up(self, row: LogRow) -> None:
        """A committed message of which nobody knows whether it is done. Waits while there are too many.
        StoreError: it is asked again."""


class Left:
    """What a process left: `spot` goes on from the place it kept up to `until`."""

    def __init__(self, node: int, spot: Spot, until: Place, revision: int) -> None:
        self.node = node
        self.spot = spot
        self.until = until
        self.revision = revision
        self.read = False
        self.number = 0  # of the follower's, once it is read
        self.released: set[int] = set()  # a released message stands in the log twice


class Succession:
    """Of one follower at im process `node`. `committed` waits until what was handed over for its commit is
    committed, and its followers have heard of it. `heir`: whether an im process is dead, and its work is this
    one's."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: int,
        follower: Follower,
        committed: Callable[[], Awaitable[None]],
        heir: Callable[[int], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._node = node
        self._follower = follower
        self._committed = committed
        self._heir = heir
        self.name = follower.name
        self._name = f"{RESERVED}{follower.name}."
        self._own: Left | None = None
        self._since = 0
        self._places: deque[tuple[int, Spot]] = deque(maxlen=PLACES)
        self._kept = ""
        self._beats = 0
        self._noted = -1
        self._suspects: set[int] = set()
        self._left: dict[int, Left] = {}
        self.taken_up = 0

    async def start(self) -> None:
        """Before the first commit of this process."""
        self._since = self._clock.elapsed_ms()
        now = await self._settled()
        found = await self._store.event_groups(f"{self._name}{self._node}")
        if found:
            self._own = await self._estate(self._node, found[0], now.place)
        if self._own is None:
            await self._keep(now)

    # -- this process

    async def beat(self) -> None:
        """Once every BEAT_MS."""
        if self._own is not None:
            if self._clock.elapsed_ms() - self._since < self._follower.wait_ms:
                return
            await self._take_up(self._own)
            self._own = None
        self._beats += 1
        await self._advance(self._follower.unfinished.begun != self._noted or not self._beats % IDLE_BEATS)

    async def _advance(self, news: bool) -> None:
        unfinished = self._follower.unfinished
        if news:
            now = await self._settled()
            await self._committed()
            self._noted = unfinished.begun
            self._places.append((self._noted, now))
        done: Spot | None = None
        while self._places and self._places[0][0] <= unfinished.finished:
            done = self._places.popleft()[1]
        if done is not None:
            await self._keep(done)

    async def _keep(self, spot: Spot) -> None:
        if (text := spot.text()) != self._kept:
            now = self._clock.now_ms()
            await self._store.commit_group(f"{self._name}{self._node}", text, None, now, NO_BOUND)
            self._kept = text

    async def close(self) -> None:
        """What is done now need not be done again."""
        try:
            if self._own is None:
                await self._advance(True)
        except StoreError as error:
            _log.warning("some of what was done will be done again: %s", error)

    # -- those that are dead

    async def look(self) -> None:
        """Once every LOOK_MS."""
        for row in await self._store.event_groups():
            if not row.name.startswith(self._name):
                continue
            node = int(row.name.removeprefix(self._name))
            if node == self._node:
                continue
            if not self._heir(node):
                self._suspects.discard(node)
                self._left.pop(node, None)
            elif node not in self._suspects:
                self._suspects.add(node)
            else:
                await self._inherit(node, row)

    async def _inherit(self, node: int, row: GroupRow) -> None:
        left = self._left.get(node)
        if left is None or left.revision != row.revision:
            left = await self._estate(node, row, (await self._settled()).place)
            if left is None:
                await self._store.drop_group(row.name)
                return
            self._left[node] = left
        if not left.read:
            await self._take_up(left)
        if left.number <= self._follower.unfinished.finished:
            del self._left[node]
            self._suspects.discard(node)
            await self._end(row)

    async def _end(self, row: GroupRow) -> None:
        try:
            now = self._clock.now_ms()
            await self._store.commit_group(row.name, row.cursor, row.revision, now, NO_BOUND)
        except StoreConflict:
            return  # it lives
        await self._store.drop_group(row.name)

    # -- what was left

    async def _settled(self) -> Spot:
        state = await self._store.event_state()
        return Spot(present(state), await self._store.settled(), state.gone)

    async def _estate(self, node: int, row: GroupRow, until: Place) -> Left | None:
        try:
            return Left(node, parse(row.cursor), until, row.revision)
        except CursorInvalid:
            _log.error("the place of im process %d cannot be read: what it left is lost", node)
            return None

    async def _take_up(self, left: Left) -> None:
        """Goes on where an attempt before it ended."""
        oldest_ms = self._clock.now_ms() - self._follower.keep_ms
        floor = await self._store.event_place(oldest_ms)
        before = self.taken_up
        while not left.read:
            # Events and messages may have different clocks: no part of a place passes the end.
            place = Place(*map(min, map(max, left.spot.place, floor), left.until))
            found = await self._store.events(place, PAGE)
            try:
                spot = judged(left.spot.at(place), found.state)
            except CursorGone as gone:
                left.spot = parse(gone.go_on)
                continue
            for entry in found.entries:
                if any(map(int.__gt__, entry.behind, left.until)):
                    left.read = True
                    break
                if isinstance(entry.row, LogRow) and self._is_left(entry.row, left, oldest_ms):
                    await self._follower.take_up(entry.row)
                    self.taken_up += 1
                left.spot = spot.at(entry.behind)
            else:
                left.spot = spot.at(found.next)
                left.read = not found.more
        left.number = self._follower.unfinished.begun
        if count := self.taken_up - before:
            _log.info("%s: %d messages of im process %d are taken up", self._follower.name, count, left.node)

    def _is_left(self, row: LogRow, left: Left, oldest_ms: int) -> bool:
        """Who released a message is not written anywhere: it may have been this process."""
        if row.bits & RELEASED:
            again = row.server_id in left.released
            left.released.add(row.server_id)
            return not again
        return node_of(row.server_id) == left.node and time_of(row.server_id) >= oldest_ms


async def forget_others(store: Store, node: int, successions: Iterable[Succession]) -> None:
    """Places of what this process does no more: were they kept, it would be much to take up one day."""
    kept = {f"{RESERVED}{each.name}.{node}" for each in successions}
    for row in await store.event_groups():
        if row.name.startswith(RESERVED) and row.name.endswith(f".{node}") and row.name not in kept:
            await store.drop_group(row.name)
