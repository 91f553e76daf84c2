"""A gateway that lost words of an im process asks what its sessions hear, and hints at what they missed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from control.coordination.base import Coordination, NodeInfo
from control.downlink.local import Commands, LocalDownlink
from control.gateway.core import Core
from control.gateway.over_bus import GatewayOverBus
from control.gateway.sync_hints import SyncHints
from control.node_ids import node_key
from control.settings.build import build
from control.streams.batches import BatchReader
from control.streams.links import StreamLinks
from control.streams.operations import ResyncSession, Up

READER = BatchReader([Up])
HELD = (7, "ann", "phone", 1, 100)


class Links:
    """Keeps what is said to each im process."""

    connected = True

    def __init__(self) -> None:
        self.said: list[tuple[int, object]] = []
        self.lost: Callable[[int], None] = print

    def on(self, kind: object, batch: object, lost: Callable[[int], None]) -> None:
        self.lost = lost

    def max_batch(self) -> int:
        return 1 << 20

    def sender(self, im_id: int, epoch: int) -> Any:
        def push(data: bytes) -> None:
            self.said += [(im_id, each) for each in cast(Up, READER.read(data)).operations]

        return SimpleNamespace(push=push)


async def test_the_im_process_whose_words_were_lost_hears_of_all_sessions_and_they_are_hinted_at() -> None:
    links, told, hinted = Links(), list[bool](), list[list[str]]()
    settings = build({"gateway": {"loops": 1}})
    ims: list[Callable[[NodeInfo, bool], None]] = []
    gateway = GatewayOverBus(
        settings,
        node_key(2, 10),
        cast(Core, SimpleNamespace(tell=lambda _, sessions: told.append(sessions))),
        cast(StreamLinks, links),
        cast(Coordination, SimpleNamespace(on=lambda _, listener: ims.append(listener))),
        LocalDownlink(cast(Commands, None), RuntimeError, print),
        cast(SyncHints, SimpleNamespace(trigger=hinted.append)),
    )
    await gateway.start()
    up = gateway.upstream

    def repeated() -> None:
        up.on_topic("u/ann", 0, 2)
        if told[-1]:
            up.on_session(HELD)
        up.on_topic("", 0, 0)

    for number in (1, 5):
        ims[0](NodeInfo(number, 10, "", ("im",)), True)
    while up._resync._repeating:
        repeated()
    up._batcher.flush()
    before = len(links.said)
    links.lost(5)
    while up._resync._repeating:
        repeated()
    up._batcher.flush()
    heard = {im for im, word in links.said[before:] if isinstance(word, ResyncSession)}
    assert heard == {5}
    assert hinted == [["u/ann"]]
