"""The gateway role over the bus: both directions between this gateway and the im processes."""

from __future__ import annotations

from collections.abc import Mapping

from control.coordination.base import Coordination, NodeInfo
from control.downlink.local import LocalDownlink
from control.gateway.core import Core, loops_of, mailbox_full, not_running
from control.gateway.down_batches import DownBatches
from control.gateway.resync import Resync, UserTopics
from control.gateway.sync_hints import SyncHints
from control.gateway.topics import Topics
from control.gateway.upstream import BusUpstream
from control.node_ids import Peer, peer_of
from control.part import Check, Part, Source
from control.settings import Settings
from control.streams.links import StreamLinks
from control.streams.operations import Down

SUM_TICKS = 5
"""Seconds, about, between two words of how many topics there are: a route that is not what it should be is
known, and made good, after so long."""


class GatewayOverBus(Part):
    """`upstream` stands for the message service; what it says is done with `downlink`. Started after the
    core, stopped before it. `node` is what sessions of this process carry.
    """

    def __init__(
        self,
        settings: Settings,
        node: int,
        core: Core,
        links: StreamLinks,
        coordination: Coordination,
        downlink: LocalDownlink,
        hints: SyncHints,
    ) -> None:
        loops = loops_of(settings)
        topics = Topics(peer_of(node), loops)
        self._core = core
        self._links = links
        self._topics = topics
        self._coordination = coordination
        self._resync = Resync(topics, loops, core.tell, mailbox_full(), not_running())
        self._hints = hints
        self.upstream = BusUpstream(
            node,
            links,
            downlink,
            topics,
            self._resync,
            settings.limits.event_backlog,
            settings.gateway.core.event_bytes,
        )
        self._batches = DownBatches(
            node,
            downlink,
            self.upstream.resync,
            self.on_lost,
            self.upstream.answered,
            self.upstream.left,
            self.upstream.fences,
        )
        self._running = False
        self._ticks = 0

    async def start(self) -> None:
        self._running = True
        self._links.on(Down, self._on_batch, self._on_lost_words)
        self._coordination.on("im", self._on_im)

    async def stop(self, grace_s: float) -> None:
        self._running = False

    async def tick(self) -> None:
        self._ticks += 1
        if self._ticks % SUM_TICKS == 0:
            self.upstream.tell_all(self._open)

    def _open(self) -> int:
        return int(self._core.stats()["live"]["sessions"])

    def checks(self) -> Mapping[str, Check]:
        return {"im": lambda: None if self._coordination.nodes("im") else "no live im process"}

    def sources(self) -> Mapping[str, Source]:
        return {"upstream": self.stats}

    def stats(self) -> Mapping[str, int]:
        return {
            "unavailable": self.upstream.unavailable,
            "unknown": self.upstream.unknown,
            "topics": self.upstream.topics,
            "topic_drifts": self._topics.drifts,
        }

    def _on_batch(self, peer: Peer, batch: Down) -> None:
        """A word of an im process proves that it lives. What one says that is not the live one is done too,
        but for rooms: each operation names connections of this process."""
        self._coordination.hear(peer, "im")
        self._batches.apply(peer, batch)

    def _on_im(self, info: NodeInfo, alive: bool) -> None:
        """An im process came or went; what the gone one had committed but not yet published is hinted at."""
        if alive:
            self.upstream.im_came(info)
        else:
            self.upstream.im_gone(info)
            self.on_lost()

    def _on_lost_words(self, im_id: int) -> None:
        """Words of an im process are lost, maybe that somebody is in a group no more: it hears of all
        sessions, and says anew what they hear."""
        self.upstream.resync(im_id)
        self.on_lost()

    def on_lost(self) -> None:
        """Something was lost on the way here: the sessions shall look into the store."""
        if self._running:
            self._resync.request(UserTopics(self._hints.trigger))
