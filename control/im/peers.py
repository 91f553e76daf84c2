"""im processes tell each other what changed, so that nobody goes on with an old answer from its memory."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable

from control.coordination.base import Coordination, NodeInfo
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Part
from control.rendezvous import choose
from control.streams.batches import SMALL, Batcher, encode
from control.streams.links import StreamLinks
from control.streams.operations import Between, Changed
from im_service.ports import Tell, Way
from im_service.storage.errors import StoreError

log = get_logger("peers")

ALL = "all"
"""Kind of a word: anything may have changed."""
AT_ONCE = 64
RETRY_S = 1.0
MOVING_TICKS = 6
"""After the set of im processes changed: the first is for the gateways, to hear of it too; each later one
finds what the gateways that heard late have sent here meanwhile."""
STOOD_STILL_S = 3.0
"""Between two ticks: others may have taken this process for dead, and what it knows of guests is old."""


class BusPeers(Part):
    """Implements im_service.ports.PeersPort over the streams between im processes. Started after the service.

    A word that is lost on the way is repaired by its stream. What can no longer be repaired, what a process
    said that was taken for dead, and what was said before two knew of each other: for all of these everything
    that is remembered is read again. A read that fails is tried until the store is back. `missed` is
    called for the ends of sessions among what is lost: no store knows them. `moved` is called when others may
    serve what was served here. `away`: users of whom a newcomer must hear that they are.
    """

    def __init__(
        self,
        links: StreamLinks,
        coordination: Coordination,
        own: Peer,
        refresh: Callable[[str, str], Awaitable[None]],
        missed: Callable[[], None] = lambda: None,
        moved: Callable[[Way], Awaitable[None]] | None = None,
        away: Callable[[], list[str]] = list,
    ) -> None:
        self._links = links
        self._coordination = coordination
        self._own = own
        self._refresh = refresh
        self._missed = missed
        self._moved = moved
        self._away = away
        self._moving = 0
        self._ticked = 0.0
        self._handing: asyncio.Task[None] | None = None
        self._ims: dict[int, int] = {}  # node id -> epoch
        self._batcher: Batcher[Changed] = Batcher(self._push)
        self._due: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="peers")
        self._links.on(Between, self._on_batch, self._on_lost)
        self._coordination.on("im", self._on_im)

    async def stop(self, grace_s: float) -> None:
        self._batcher.flush()
        tasks = [task for task in (self._task, self._handing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def tick(self) -> None:
        now, before = asyncio.get_running_loop().time(), self._ticked
        self._ticked = now
        if self._moving and before and now - before > STOOD_STILL_S:
            self._moving = MOVING_TICKS  # the gateways say first who is inside
        if self._moving:
            self._moving -= 1
            if self._moving < MOVING_TICKS - 1 and (self._handing is None or self._handing.done()):
                self._handing = asyncio.create_task(self._hand_over(), name="rooms")

    async def _hand_over(self) -> None:
        try:
            if self._moved is not None:
                await self._moved(self._way)
        except Exception:
            log.exception("what another im process serves now could not be handed over")

    def _way(self, topic: str) -> Tell | None:
        im = int(choose(topic, map(str, (self._own[0], *self._ims))) or self._own[0])
        return None if im == self._own[0] else functools.partial(self._say, im)

    def _say(self, im_id: int, kind: str, key: str) -> None:
        self._batcher.add(im_id, Changed(kind, key), len(key) + SMALL)

    def changed(self, kind: str, key: str) -> None:
        for im_id in self._ims:
            self._say(im_id, kind, key)

    def _on_im(self, info: NodeInfo, alive: bool) -> None:
        if info.node_id == self._own[0]:
            return
        self._moving = MOVING_TICKS
        if not alive:
            self._ims.pop(info.node_id, None)
            self._batcher.drop(info.node_id)
            self._missed()
            return
        self._ims[info.node_id] = info.epoch
        # It may remember what it read before it was told of changes here.
        self._batcher.add(info.node_id, Changed(ALL, ""))
        for user in self._away():
            self._say(info.node_id, "presence", user)

    def _push(self, im_id: int, words: list[Changed]) -> None:
        epoch = self._ims.get(im_id)
        if epoch is not None:
            self._links.sender(im_id, epoch).push(encode(Between(words)))

    def _on_batch(self, peer: Peer, batch: Between) -> None:
        self._coordination.hear(peer, "im")
        for word in batch.operations:
            self._note(word.kind, word.key)

    def _on_lost(self, peer_id: int) -> None:
        roles = self._coordination.roles_of(peer_id)
        if not roles or "im" in roles:
            self._note(ALL, "")
            self._missed()

    def _note(self, kind: str, key: str) -> None:
        self._due.pop((kind, key), None)  # the latest word is the last one: some say how it is now
        self._due[kind, key] = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            due = list(self._due)[:AT_ONCE]
            for word in due:
                del self._due[word]
            if not self._due:
                self._wake.clear()
            done = await asyncio.gather(*(self._take(*word) for word in due))
            if not all(done):
                await asyncio.sleep(RETRY_S)

    async def _take(self, kind: str, key: str) -> bool:
        try:
            await self._refresh(kind, key)
        except StoreError as error:
            log.warning("a change of a peer could not be read again yet", kind=kind, error=str(error))
            self._note(kind, key)
            return False
        except Exception:
            log.exception("a change of a peer could not be read again", kind=kind)
        return True
